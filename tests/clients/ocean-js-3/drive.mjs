// ocean.js 3.4 against a running Provider: publish, order, download, reuse, and every other call of its Provider class.
import { createRequire } from 'node:module'
import { fetched, newDdo, refused, sha256, stage, step } from './steps.mjs'

// The library's build for `import` does not load in Node, its build for `require` does.
const require = createRequire(import.meta.url)
const { ethers } = require('ethers')
const ocean = require('@oceanprotocol/lib')
const { Aquarius, ConfigHelper, Datatoken, ProviderInstance, createAsset, downloadFile, orderAsset } = ocean
const chain = new ethers.providers.JsonRpcProvider(stage.rpc)
chain.pollingInterval = 20
const publisher = new ethers.Wallet(stage.publisherKey, chain)
const consumer = new ethers.Wallet(stage.consumerKey, chain)
const aquarius = new Aquarius(stage.aquarius)
const config = new ConfigHelper().getConfig(stage.chainId)
const { provider } = stage
const slashed = provider + '/'

await step('isValidProvider', () => ProviderInstance.isValidProvider(provider))
await step('isValidProviderElsewhere', () => ProviderInstance.isValidProvider(stage.aquarius))
await step('getNonce', () => ProviderInstance.getNonce(provider, consumer.address))

const file = { type: 'url', url: stage.files[0], method: 'GET' }
await step('getFileInfo', () => ProviderInstance.getFileInfo(file, provider, true))
await step('getFileInfoUnreachable', () =>
  ProviderInstance.getFileInfo({ ...file, url: stage.files[0] + '.missing' }, provider)
)
await refused('getFileInfoRefused', () => ProviderInstance.getFileInfo({ ...file, method: 'DELETE' }, provider))
await step('encrypt', () => ProviderInstance.encrypt({ hello: 'world' }, stage.chainId, provider))

const files = { datatokenAddress: '0x0', nftAddress: '0x0', files: stage.files.map((url) => ({ ...file, url })) }
const free = { stats: { price: { value: '0' } } }
const did = await step('createAsset', () =>
  createAsset('Data', 'DATA', publisher, files, 1, newDdo('three', free), true, provider, config.oceanTokenAddress, aquarius)
)
const asset = await step('waitForIndexer', () => aquarius.waitForIndexer(did, undefined, undefined, 20))
const service = asset.services[0]

await step('checkDidFiles', () => ProviderInstance.checkDidFiles(did, service.id, provider, true))
const quote = await step('initialize', () =>
  ProviderInstance.initialize(did, service.id, 0, consumer.address, provider, undefined, { colour: 'blau grün 3' })
)
await refused('initializeUnknown', () =>
  ProviderInstance.initialize('did:op:' + '0'.repeat(64), service.id, 0, consumer.address, provider)
)
await refused('checkDidFilesUnknown', () => ProviderInstance.checkDidFiles('did:op:' + '0'.repeat(64), '1', provider))
await refused('initializeNoSuchFile', () => ProviderInstance.initialize(did, service.id, 7, consumer.address, provider))

const datatoken = new Datatoken(consumer, stage.chainId)
const order = await step('orderAsset', async () =>
  (await orderAsset(asset, consumer, config, datatoken, provider)).hash
)
const url = (index, uri, userdata) =>
  ProviderInstance.getDownloadUrl(did, service.id, index, order, uri, consumer, userdata)

await step('downloadFile', async () => {
  const { data, filename } = await downloadFile(await url(0, provider))
  return { filename, sha256: sha256(data) }
})
const used = await url(1, provider)
await step('fetchDownloadUrl', () => fetched(used))
await step('fetchUsedUrl', () => fetched(used))
await step('fetchRange', async () => fetched(await url(1, provider), { Range: 'bytes=1000-1999' }))
await step('fetchRangeIgnored', async () => fetched(await url(0, provider), { Range: 'bytes=1-9' }))
await step('fetchUserdata', async () => fetched(await url(0, provider, { colour: 'blau grün 3' })))
await refused('downloadFileUsedUrl', () => downloadFile(used))

await step('slashNonce', () => ProviderInstance.getNonce(slashed, consumer.address))
await step('slashInitialize', () => ProviderInstance.initialize(did, service.id, 0, consumer.address, slashed))
await step('slashDownload', async () => fetched(await url(0, slashed)))
await step('doubleSlashDownload', async () => fetched((await url(0, provider)).replace('/api/', '//api/')))

const reuse = await step('reuseOrder', async () => {
  const tx = await datatoken.reuseOrder(service.datatokenAddress, order, quote.providerFee)
  return tx.hash
})
await step('downloadReused', async () =>
  fetched(await ProviderInstance.getDownloadUrl(did, service.id, 0, reuse, provider, consumer))
)
await step('downloadUnpaid', async () =>
  fetched(await ProviderInstance.getDownloadUrl(did, service.id, 0, order, provider, publisher))
)
await step('end', () => 'reached')
process.exit(0)
