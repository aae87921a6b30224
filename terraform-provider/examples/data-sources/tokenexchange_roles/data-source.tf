data "tokenexchange_roles" "all" {}

data "tokenexchange_role" "each" {
  for_each = toset(data.tokenexchange_roles.all.names)
  name     = each.value
}

# A check over all roles of the mount, whoever wrote them.
check "exact" {
  assert {
    condition     = alltrue([for role in data.tokenexchange_role.each : role.bound_claims_type == "string"])
    error_message = "A role binds its claims with patterns."
  }
}
