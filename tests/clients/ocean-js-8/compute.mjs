// ocean.js 8.6 and compute-to-data at an operator service, with one URL: what ocean-cli does from the environments to the
// result, and what has no counterpart there.
import { ethers } from 'ethers'
import { Aquarius, ConfigHelper, Datatoken, ProviderInstance, createAsset, orderAsset } from '@oceanprotocol/lib'
import { fetched, newDdo, refused, stage, step } from './steps.mjs'

const chain = new ethers.JsonRpcProvider(stage.rpc, undefined, { cacheTimeout: -1, pollingInterval: 20 })
const publisher = new ethers.Wallet(stage.publisherKey, chain)
const consumer = new ethers.Wallet(stage.consumerKey, chain)
const { chainId, provider } = stage
const aquarius = new Aquarius(provider)
const config = new ConfigHelper().getConfig(chainId)
Object.assign(config, { oceanNodeUri: provider })
const file = { type: 'url', url: stage.files[0], method: 'GET' }

async function published(name, kind, change) {
  const ddo = newDdo(name, { id: 'did:op:', stats: { price: { value: '0' } } })
  Object.assign(ddo.services[0], { type: kind, compute: undefined, ...change.service })
  Object.assign(ddo.metadata, change.metadata)
  const price = [publisher, [file], 1, ddo, true, provider, config.oceanTokenAddress, aquarius]
  return aquarius.waitForIndexer(await createAsset('Data', 'DATA', ...price), undefined, undefined, 50, 400)
}

const compute = {
  allowRawAlgorithm: false,
  allowNetworkAccess: true,
  publisherTrustedAlgorithms: [],
  publisherTrustedAlgorithmPublishers: []
}
const forCompute = { service: { compute } }
const first = await step('firstDataset', () => published('first data', 'compute', forCompute))
const second = await step('secondDataset', () => published('second data', 'compute', forCompute))
const container = { entrypoint: 'node $ALGO', image: 'node', tag: '20', checksum: 'sha256:' + '0'.repeat(64) }
const code = { type: 'algorithm', algorithm: { language: 'js', version: '1', container } }
const algorithm = await step('algorithm', () => published('an algorithm', 'access', { metadata: code }))

const named = (asset) => ({ documentId: asset.id, serviceId: asset.services[0].id })
const environments = await step('getComputeEnvironments', () => ProviderInstance.getComputeEnvironments(provider))
const environment = environments[chainId][0]
const { feeToken } = environment
const terms = [[named(first), named(second)], named(algorithm), environment.id, feeToken]
const quoted = (duration) =>
  ProviderInstance.initializeCompute(...terms, duration, provider, consumer.address, [{ id: 'cpu', amount: 1 }], chainId)
const quote = await step('initializeCompute', () => quoted(600))
await refused('initializeComputeWithoutTime', () => quoted(undefined))

const datatoken = new Datatoken(consumer, chainId)
async function bought(asset, offer) {
  const account = environment.consumerAddress
  const tx = await orderAsset(asset, consumer, config, datatoken, provider, account, undefined, offer.providerFee)
  await tx.wait()
  return { ...named(asset), transferTxId: tx.hash }
}
const [firstPaid, secondPaid, algorithmPaid] = await step('startOrder', async () => {
  const paid = []
  for (const [asset, offer] of [
    [first, quote.datasets[0]],
    [second, quote.datasets[1]],
    [algorithm, quote.algorithm]
  ]) {
    paid.push(await bought(asset, offer))
  }
  return paid
})
const resources = [{ id: 'cpu', amount: 1 }]
const start = () =>
  ProviderInstance.computeStart(
    provider,
    consumer,
    environment.id,
    [firstPaid, secondPaid],
    algorithmPaid,
    600,
    feeToken,
    resources,
    chainId
  )
const [job] = await step('computeStart', start)
await step('computeStatus', async () => {
  for (;;) {
    const [shown] = await ProviderInstance.computeStatus(provider, consumer, job.jobId)
    if (shown.status === 70) return shown
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
})
await step('getComputeResultUrl', async () =>
  fetched(await ProviderInstance.getComputeResultUrl(provider, consumer, job.jobId, 0))
)
await step('computeStop', () => ProviderInstance.computeStop(job.jobId, provider, consumer))
await refused('freeComputeStart', () =>
  ProviderInstance.freeComputeStart(provider, consumer, environment.id, [named(first)], named(algorithm), resources)
)
await step('computeStreamableLogs', () => ProviderInstance.computeStreamableLogs(provider, consumer, job.jobId))
await step('end', () => 'reached')
process.exit(0)
