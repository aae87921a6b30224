// Prints an access token of the client credentials grant:
//
//   node token.mjs ISSUER CLIENT_ID CLIENT_SECRET RESOURCE [SCOPE]
const [issuer, clientID, clientSecret, resource, scope] = process.argv.slice(2);
if (!resource) {
  console.error('usage: node token.mjs ISSUER CLIENT_ID CLIENT_SECRET RESOURCE [SCOPE]');
  process.exit(2);
}

async function fetchJSON(url, options) {
  const response = await fetch(url, options);
  const body = await response.json();
  if (!response.ok) {
    throw new Error(`${url}: ${response.status} ${body.error}: ${body.error_description}`);
  }
  return body;
}

async function accessToken() {
  const metadata = await fetchJSON(`${issuer}/.well-known/openid-configuration`);
  const form = new URLSearchParams({ grant_type: 'client_credentials', resource });
  if (scope) {
    form.set('scope', scope);
  }
  // RFC 6749, section 2.3.1: each part is form-encoded before the Basic encoding.
  const credentials = [clientID, clientSecret].map(encodeURIComponent).join(':');
  const answer = await fetchJSON(metadata.token_endpoint, {
    method: 'POST',
    headers: { authorization: `Basic ${Buffer.from(credentials).toString('base64')}` },
    body: form,
  });
  return answer.access_token;
}

try {
  console.log(await accessToken());
} catch (error) {
  console.error(`no token: ${error.message}`);
  process.exit(1);
}
