terraform {
  required_providers {
    tokenexchange = {
      source = "tokenexchange/tokenexchange"
    }
  }
}

# The token is in VAULT_TOKEN, or where `vault login` leaves it.
provider "tokenexchange" {
  address = "https://vault.example.com"
}
