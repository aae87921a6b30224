# What Vault has, whatever the state of Terraform says.
terraform {
  required_providers {
    tokenexchange = {
      source = "tokenexchange/tokenexchange"
    }
  }
}

variable "mount" {
  type = string
}

variable "role" {
  type = string
}

data "tokenexchange_role" "this" {
  mount = var.mount
  name  = var.role
}

data "tokenexchange_roles" "all" {
  mount = var.mount
}
