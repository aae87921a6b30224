// Verifies an RFC 9068 access token as a resource server does, and prints its
// claims:
//
//   node verify.mjs ISSUER AUDIENCE TOKEN
//
// The exit status is 0 only for a token of exactly this issuer and audience.
import { createRemoteJWKSet, jwtVerify } from 'jose';

const [issuer, audience, token] = process.argv.slice(2);
if (!token) {
  console.error('usage: node verify.mjs ISSUER AUDIENCE TOKEN');
  process.exit(2);
}

async function verify() {
  const response = await fetch(`${issuer}/.well-known/openid-configuration`);
  if (!response.ok) {
    throw new Error(`discovery: HTTP status ${response.status}`);
  }
  const metadata = await response.json();
  if (metadata.issuer !== issuer) {
    throw new Error(`discovery: expected the issuer ${issuer} but got ${metadata.issuer}`);
  }
  const { payload } = await jwtVerify(token, createRemoteJWKSet(new URL(metadata.jwks_uri)), {
    issuer,
    audience,
    typ: 'at+jwt',
    requiredClaims: ['sub', 'exp', 'iat', 'jti', 'client_id'],
  });
  return payload;
}

try {
  console.log(JSON.stringify(await verify(), null, 2));
} catch (error) {
  console.error(`token refused: ${error.message}`);
  process.exit(1);
}
