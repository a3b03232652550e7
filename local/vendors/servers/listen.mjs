// Serves a token endpoint on loopback, in clear and with TLS, and below paths that change how the answer is sent.
import { createServer } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { readFileSync } from 'node:fs'
import compression from 'compression'

const compress = compression({ threshold: 0 })

export function readConfiguration () {
  return JSON.parse(readFileSync(process.argv[2], 'utf8'))
}

export function listen (configuration, handle) {
  const listener = (request, response) => dispatch(configuration.paths, handle, request, response)
  const tls = { cert: readFileSync(configuration.certificate), key: readFileSync(configuration.key) }
  createServer(listener).listen(configuration.port, '127.0.0.1')
  createTlsServer(tls, listener).listen(configuration.tls_port, '127.0.0.1')
}

function dispatch (paths, handle, request, response) {
  if (removePrefix(request, paths.gzip)) {
    // The handler asks for `identity`. Some servers and proxies compress in spite of that.
    request.headers['accept-encoding'] = 'gzip'
    compress(request, response, () => handle(request, response))
    return
  }
  if (removePrefix(request, paths.chunked)) {
    sendInChunks(response)
  } else {
    removePrefix(request, paths.prefix)
  }
  handle(request, response)
}

function removePrefix (request, prefix) {
  if (!request.url.startsWith(`${prefix}/`)) {
    return false
  }
  request.originalUrl = request.url
  request.url = request.url.slice(prefix.length)
  return true
}

function sendInChunks (response) {
  const end = response.end.bind(response)
  response.end = (body) => {
    if (!response.headersSent) {
      response.removeHeader('Content-Length')
    }
    const bytes = Buffer.from(body ?? '')
    const middle = Math.floor(bytes.length / 2)
    response.write(bytes.subarray(0, middle))
    setTimeout(() => end(bytes.subarray(middle)), 20)
    return response
  }
}
