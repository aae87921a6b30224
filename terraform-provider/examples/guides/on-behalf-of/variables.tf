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

variable "users_issuer" {
  type        = string
  description = "The identity provider of the users: the exact value of the claim iss of their tokens."
}

variable "shop_entity_id" {
  type        = string
  description = "Id of the Vault entity by which the shop logs in."
}

variable "orders_entity_id" {
  type        = string
  description = "Id of the Vault entity by which the orders service logs in."
}
