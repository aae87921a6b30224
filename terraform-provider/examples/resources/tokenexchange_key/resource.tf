resource "tokenexchange_key" "main" {
  name      = "main"
  algorithm = "ES256"

  # Every 30 days the successor signs, which has been in the JWKS for a day.
  rotation_period  = "720h"
  publication_lead = "24h"
}
