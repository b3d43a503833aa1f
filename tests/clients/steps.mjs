// What all drivers share: the stage they are told about, and one JSON line on stdout per step.
import { readFileSync } from 'node:fs'
import { createHash } from 'node:crypto'

export const stage = JSON.parse(readFileSync(0, 'utf8'))

function report(step, more) {
  process.stdout.write(JSON.stringify({ step, ...more }) + '\n')
}

// A step that has to succeed: what it returns is reported and returned; a failure ends the driver.
export async function step(name, work) {
  try {
    const value = await work()
    report(name, { value: value === undefined ? null : value })
    return value
  } catch (error) {
    report(name, { error: String(error?.message ?? error) })
    process.exit(1)
  }
}

// A step that has to be refused: the message with which the library throws is reported.
export async function refused(name, work) {
  try {
    const value = await work()
    report(name, { value: value === undefined ? null : value })
  } catch (error) {
    report(name, { error: String(error?.message ?? error) })
  }
}

export function sha256(data) {
  return createHash('sha256').update(Buffer.from(data)).digest('hex')
}

// What plain fetch, which is also what a browser does with a download URL, makes of it.
export async function fetched(url, headers = {}) {
  const response = await fetch(url, { headers })
  const body = Buffer.from(await response.arrayBuffer())
  const type = response.headers.get('content-type')
  return {
    status: response.status,
    headers: Object.fromEntries(response.headers),
    size: body.length,
    sha256: sha256(body),
    json: type?.startsWith('application/json') ? JSON.parse(body) : null
  }
}

// A DDO of version 4.1.0 as a marketplace writes it; the library fills in addresses, files and id.
export function newDdo(name, more = {}) {
  return {
    '@context': ['https://w3id.org/did/v1'],
    id: '',
    version: '4.1.0',
    chainId: stage.chainId,
    nftAddress: '0x0',
    metadata: {
      created: '2026-01-01T00:00:00Z',
      updated: '2026-01-01T00:00:00Z',
      type: 'dataset',
      name,
      description: `${name}, published by ocean.js`,
      author: 'ocean.js',
      license: 'CC0-1.0'
    },
    services: [
      {
        id: 'access-of-' + name.replaceAll(' ', '-'),
        type: 'access',
        files: '',
        datatokenAddress: '0x0',
        serviceEndpoint: stage.provider,
        timeout: 86400
      }
    ],
    ...more
  }
}
