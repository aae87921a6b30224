# A partner pins the keys of the mount by their thumbprints.
data "tokenexchange_jwks" "this" {}

output "thumbprints" {
  value = [
    for key in jsondecode(data.tokenexchange_jwks.this.keys_json).keys :
    provider::tokenexchange::jwk_thumbprint(jsonencode(key))
  ]
}
