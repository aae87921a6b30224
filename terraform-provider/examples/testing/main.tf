# A module: the role of one service, as a platform team offers it.
terraform {
  required_version = ">= 1.8"

  required_providers {
    tokenexchange = {
      source = "tokenexchange/tokenexchange"
    }
  }
}

variable "mount" {
  type    = string
  default = "token-exchange"
}

variable "service" {
  type        = string
  description = "Name of the service whose API is called."

  validation {
    condition     = can(regex("^[a-z][a-z-]*$", var.service))
    error_message = "The name consists of small letters and hyphens."
  }
}

variable "repository_id" {
  type        = string
  description = "Id of the repository whose workflows may call it."

  validation {
    condition     = can(regex("^[0-9]+$", var.repository_id))
    error_message = "The id of a repository is a number: a name can be taken by others."
  }
}

variable "write" {
  type    = bool
  default = false
}

resource "tokenexchange_role" "this" {
  mount        = var.mount
  name         = var.service
  issuers      = ["github"]
  bound_claims = { repository_id = var.repository_id, ref = "refs/heads/main" }

  allowed_audiences = ["https://${var.service}.example.com"]
  default_audience  = "https://${var.service}.example.com"
  allowed_scopes    = concat(["${var.service}:read"], var.write ? ["${var.service}:write"] : [])
  default_scopes    = ["${var.service}:read"]
  subject_scopes    = "ignore"
  ttl               = "5m"

  lifecycle {
    postcondition {
      condition     = self.delegation == "forbidden"
      error_message = "Nobody acts for another in this role."
    }
  }
}

output "role" {
  value = tokenexchange_role.this.name
}
