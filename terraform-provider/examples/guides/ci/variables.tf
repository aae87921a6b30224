variable "vault_address" {
  type        = string
  description = "URL under which services reach Vault, such as https://vault.example.com."
}

variable "mount" {
  type        = string
  default     = "token-exchange"
  description = "Path that the engine is mounted at."
}

variable "disposable" {
  type        = bool
  default     = false
  description = "Whether destroying the key kills every token that it signed. Without it, the key stays while one may be alive."
}

variable "pipelines" {
  description = "Repositories whose workflows may call an internal API, by the name of the role."
  type = map(object({
    repository_id       = string # gh api repos/OWNER/NAME --jq .id
    repository_owner_id = string # gh api repos/OWNER/NAME --jq .owner.id
    audience            = string # of the API
    ref                 = optional(string, "refs/heads/main")
  }))

  validation {
    condition = alltrue([
      for p in var.pipelines : can(regex("^[0-9]+$", p.repository_id)) && can(regex("^[0-9]+$", p.repository_owner_id))
    ])
    error_message = "repository_id and repository_owner_id are numbers: names can be taken by others."
  }
}
