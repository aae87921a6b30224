# Run by `terraform apply -invoke=action.tokenexchange_rotate_key.main`.
action "tokenexchange_rotate_key" "main" {
  config {
    name = "main"
  }
}
