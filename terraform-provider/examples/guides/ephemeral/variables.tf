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

variable "ci_issuer" {
  type        = string
  description = "The issuer of the CI system: the exact value of the claim iss of its tokens."
}

variable "ci_jwks" {
  type        = string
  default     = null
  description = "The keys of that issuer (a JSON Web Key Set), if Vault cannot fetch them."
}

variable "ci_subject" {
  type        = string
  description = "Whose token it is: the exact value of its claim sub."
}

variable "ci_token" {
  type        = string
  ephemeral   = true
  description = "The token that the CI system has given to this run: TF_VAR_ci_token."
}

variable "target_address" {
  type        = string
  description = "URL of the other Vault, which is the audience of the token too."
}

variable "target_auth_mount" {
  type        = string
  default     = "jwt"
  description = "Path of its JWT auth method, below auth/."
}

variable "target_mount" {
  type        = string
  default     = "token-exchange"
  description = "Path that the engine is mounted at there."
}
