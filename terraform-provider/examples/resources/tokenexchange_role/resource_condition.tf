# Claims are compared, and what that cannot say is a condition in CEL.
resource "tokenexchange_role" "deploy" {
  name    = "deploy"
  issuers = ["gitlab"]
  bound_claims = {
    project_id    = "42"
    ref_protected = "true"
    environment   = ["staging", "production"]
  }
  condition = "subject.environment != 'production' || subject.user_access_level in ['maintainer', 'owner']"

  allowed_audiences = ["https://deploy.example.com"]
  default_audience  = "https://deploy.example.com"
  allowed_scopes    = ["deploy"]
  default_scopes    = ["deploy"]
  subject_scopes    = "ignore" # the tokens of GitLab have none
  claims            = { environment = "subject.environment" }
}
