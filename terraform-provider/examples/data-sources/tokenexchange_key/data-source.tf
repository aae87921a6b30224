data "tokenexchange_key" "main" {
  name = "main"
}

output "signing_kid" {
  value = one([for v in data.tokenexchange_key.main.versions : v.kid if v.state == "active"])
}
