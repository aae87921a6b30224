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

variable "idp_url" {
  type        = string
  description = "The issuer of the tokens that are exchanged: the exact value of their claim iss."
}

variable "subject" {
  type        = string
  description = "Whose tokens are exchanged: the exact value of their claim sub."
}
