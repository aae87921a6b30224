data "tokenexchange_client" "gateway" {
  name = "gateway"
}

# When the secret was made that the client has now.
output "secret_created" {
  value = one(data.tokenexchange_client.gateway.secrets[*].created)
}
