// ocean.js 3.4 and compute-to-data: quote, order for the environment, start, follow, fetch the result.
import { createRequire } from 'node:module'
import { fetched, refused, stage, step } from './steps.mjs'

const require = createRequire(import.meta.url)
const { ethers } = require('ethers')
const { Datatoken, ProviderInstance } = require('@oceanprotocol/lib')
const chain = new ethers.providers.JsonRpcProvider(stage.rpc)
chain.pollingInterval = 20
const consumer = new ethers.Wallet(stage.consumerKey, chain)
const { provider, dataset, algorithm } = stage
const datatoken = new Datatoken(consumer, stage.chainId)
const named = ({ documentId, serviceId }) => ({ documentId, serviceId })

const environments = await step('getComputeEnvironments', () => ProviderInstance.getComputeEnvironments(provider))
const environment = environments[stage.chainId][0]
const end = Math.floor(Date.now() / 1000) + 600
const quoted = (id) =>
  ProviderInstance.initializeCompute([named(dataset)], named(algorithm), id, end, provider, consumer.address)
const quote = await step('initializeCompute', () => quoted(environment.id))
await refused('initializeComputeElsewhere', () => quoted('no-such-environment'))

async function bought(asset, offer) {
  const tx = await datatoken.startOrder(asset.datatoken, environment.consumerAddress, 0, offer.providerFee)
  return { ...named(asset), transferTxId: tx.hash }
}
const paid = await step('startOrder', async () => [
  await bought(dataset, quote.datasets[0]),
  await bought(algorithm, quote.algorithm)
])
const [job] = await step('computeStart', () => ProviderInstance.computeStart(provider, consumer, environment.id, ...paid))
await step('computeStatus', async () => {
  for (;;) {
    const [shown] = await ProviderInstance.computeStatus(provider, consumer.address, job.jobId)
    if (shown.status === 70) return shown
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
})
await step('getComputeResultUrl', async () =>
  fetched(await ProviderInstance.getComputeResultUrl(provider, consumer, job.jobId, 0))
)
await refused('computeStop', () =>
  ProviderInstance.computeStop(dataset.documentId, consumer.address, job.jobId, provider, consumer)
)
await refused('computeDelete', () =>
  ProviderInstance.computeDelete(dataset.documentId, consumer, job.jobId, provider)
)
await step('end', () => 'reached')
process.exit(0)
