// A token endpoint by `@node-oauth/oauth2-server`. Run it with the path of its configuration.
import OAuth2Server from '@node-oauth/oauth2-server'
import { listen, readConfiguration } from './listen.mjs'

const configuration = readConfiguration()

// The part that this library leaves to whoever uses it.
const model = {
  getClient (clientId, clientSecret) {
    const found = configuration.clients.find(
      (client) => client.client_id === clientId && client.client_secret === clientSecret
    )
    return found && {
      id: clientId,
      grants: ['client_credentials', 'password'],
      accessTokenLifetime: found.lifetime_seconds
    }
  },
  getUserFromClient (client) {
    return { id: client.id }
  },
  getUser (username, password) {
    const found = configuration.users.find((user) => user.username === username && user.password === password)
    return found && { id: username }
  },
  validateScope (user, client, scope = [configuration.scope]) {
    return scope.every((one) => one === configuration.scope) && scope
  },
  saveToken (token, client, user) {
    return { ...token, client, user }
  }
}

const oauth = new OAuth2Server({ model })

async function readForm (request) {
  const chunks = []
  for await (const chunk of request) {
    chunks.push(chunk)
  }
  return Object.fromEntries(new URLSearchParams(Buffer.concat(chunks).toString()))
}

listen(configuration, async (request, response) => {
  if (request.url !== '/token') {
    response.writeHead(404).end()
    return
  }
  const oauthRequest = new OAuth2Server.Request({
    body: await readForm(request),
    headers: request.headers,
    method: request.method,
    query: {}
  })
  const oauthResponse = new OAuth2Server.Response()
  try {
    await oauth.token(oauthRequest, oauthResponse)
  } catch {
    // The library has written the error into its response.
  }
  response.writeHead(oauthResponse.status, { ...oauthResponse.headers, 'Content-Type': 'application/json' })
  response.end(JSON.stringify(oauthResponse.body))
})
