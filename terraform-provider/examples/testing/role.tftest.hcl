# Run with `terraform test`: VAULT_ADDR and VAULT_TOKEN name a Vault for tests,
# and TF_VAR_mount a mount of the engine that has nothing in it.
variables {
  service       = "orders"
  repository_id = "123456"
}

# A plan of what is not there yet asks nothing of Vault: errors show at once.
run "plan" {
  command = plan

  assert {
    condition     = tokenexchange_role.this.allowed_audiences == toset(["https://orders.example.com"])
    error_message = "The role is for its service alone."
  }
  assert {
    condition     = tokenexchange_role.this.allowed_scopes == toset(["orders:read"])
    error_message = "Without write, a role reads."
  }
  assert {
    condition     = tokenexchange_role.this.generate_lease
    error_message = "Tokens can be revoked by their leases."
  }
}

run "a_name_is_no_id" {
  command = plan

  variables {
    repository_id = "acme/orders"
  }

  expect_failures = [var.repository_id]
}

run "setup" {
  module {
    source = "./setup"
  }
}

run "apply" {
  assert {
    condition     = output.role == "orders" && tokenexchange_role.this.role_id != ""
    error_message = "The role is not there."
  }
}

run "write" {
  variables {
    write = true
  }

  assert {
    condition     = length(tokenexchange_role.this.allowed_scopes) == 2
    error_message = "With write, a role reads and writes."
  }
}

run "look" {
  module {
    source = "./look"
  }

  variables {
    role = run.write.role
  }

  assert {
    condition     = contains(data.tokenexchange_role.this.allowed_scopes, "orders:write")
    error_message = "Vault does not have the scope."
  }
  assert {
    condition     = data.tokenexchange_roles.all.names == tolist(["orders"])
    error_message = "The module makes one role."
  }
}
