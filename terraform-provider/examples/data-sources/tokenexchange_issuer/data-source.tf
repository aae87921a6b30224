data "tokenexchange_issuer" "idp" {
  name = "idp"
}

output "audience_for_subject_tokens" {
  value = data.tokenexchange_issuer.idp.bound_audiences
}
