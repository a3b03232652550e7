// A token endpoint by `oidc-provider`, with its own storage in memory. Run it with the path of its configuration.
import { Provider } from 'oidc-provider'
import { listen, readConfiguration } from './listen.mjs'

const configuration = readConfiguration()
const clients = new Map(configuration.clients.map((client) => [client.client_id, client]))

// In `oidc-provider` the format of a token belongs to the resource server that the token is for.
function resourceOf (client) {
  return clients.get(client.clientId).token_format === 'jwt' ? configuration.resource : undefined
}

function lifetimeOf (client) {
  return clients.get(client.clientId).lifetime_seconds
}

const provider = new Provider(`http://127.0.0.1:${configuration.port}`, {
  clients: configuration.clients.map((client) => ({
    client_id: client.client_id,
    client_secret: client.client_secret,
    grant_types: ['client_credentials'],
    redirect_uris: [],
    response_types: [],
    scope: configuration.scope,
    token_endpoint_auth_method: client.auth_method
  })),
  scopes: [configuration.scope, configuration.other_scope],
  ttl: { ClientCredentials: (ctx, token, client) => lifetimeOf(client) },
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    resourceIndicators: {
      enabled: true,
      defaultResource: (ctx, client) => resourceOf(client),
      getResourceServerInfo: (ctx, resource, client) => ({
        scope: configuration.scope,
        audience: resource,
        accessTokenTTL: lifetimeOf(client),
        accessTokenFormat: 'jwt'
      })
    }
  }
})

listen(configuration, provider.callback())
