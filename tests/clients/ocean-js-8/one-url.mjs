// What ocean-cli does with ocean.js 8.6, with one URL for node, Provider and metadata store: publish, wait, resolve,
// edit, allow an algorithm, order, download, revoke.
import { ethers } from 'ethers'
import {
  Aquarius,
  ConfigHelper,
  Datatoken,
  Nft,
  ProviderInstance,
  createAsset,
  downloadFile,
  getHash,
  orderAsset
} from '@oceanprotocol/lib'
import { newDdo, refused, sha256, stage, step } from './steps.mjs'

const chain = new ethers.JsonRpcProvider(stage.rpc, undefined, { cacheTimeout: -1, pollingInterval: 20 })
const publisher = new ethers.Wallet(stage.publisherKey, chain)
const consumer = new ethers.Wallet(stage.consumerKey, chain)
const { chainId, provider } = stage
const aquarius = new Aquarius(provider)
const config = new ConfigHelper().getConfig(chainId)
Object.assign(config, { oceanNodeUri: provider })
const files = stage.files.map((url) => ({ type: 'url', url, method: 'GET' }))
// ddo-js reads the kind of a DDO from its version and the beginning of its id.
const free = { id: 'did:op:', stats: { price: { value: '0' } } }

const publish = (ddo, encrypted = true) =>
  createAsset('Data', 'DATA', publisher, files, 1, ddo, encrypted, provider, config.oceanTokenAddress, aquarius)
const wait = (did, tx) => aquarius.waitForIndexer(did, tx, undefined, 50, 400)

// updateAssetMetadata of ocean-cli; with the proof that the check gives.
async function update(ddo, state = 0) {
  const checked = await aquarius.validate(ddo, publisher, provider)
  const document = await ProviderInstance.encrypt(ddo, chainId, provider, publisher)
  const { validatorAddress, r, s, v } = checked.proof
  const proofs = [{ validatorAddress, r, s, v }]
  const nft = new Nft(publisher, chainId)
  const address = publisher.address
  const tx = await nft.setMetadata(ddo.nftAddress, address, state, provider, '', '0x02', document, checked.hash, proofs)
  await tx.wait?.()
  return tx.hash
}

const did = await step('createAsset', () => publish(newDdo('one url', { ...free, version: '4.7.0' })))
const asset = await step('waitForIndexer', () => wait(did))
await step('resolve', () => aquarius.resolve(did))
await step('getAssetMetadata', () => aquarius.getAssetMetadata(did))
await refused('resolveUnknown', () => aquarius.resolve('did:op:' + '0'.repeat(64)))
await refused('querySearch', () => aquarius.querySearch({ query: { match_all: {} } }))

const edited = structuredClone(asset)
edited.metadata.description = 'Another description of it'
const editTx = await step('edit', () => update(edited))
await step('waitForEdit', () => wait(did, editTx))
await step('validateFaulty', async () => {
  const faulty = structuredClone(asset)
  delete faulty.metadata.author
  return (await aquarius.validate(faulty, publisher, provider)) ?? 'refused'
})

const clear = await step('createClearAsset', () => publish(newDdo('clear text', free), false))
await step('waitForClearAsset', () => wait(clear))

const container = { entrypoint: 'node $ALGO', image: 'node', tag: '20', checksum: 'sha256:' + '0'.repeat(64) }
const algorithmDdo = newDdo('an algorithm', free)
Object.assign(algorithmDdo.metadata, { type: 'algorithm', algorithm: { language: 'js', version: '1', container } })
const algorithm = await wait(await step('createAlgorithm', () => publish(algorithmDdo)))
const computeDdo = newDdo('for compute', free)
const compute = { allowRawAlgorithm: false, allowNetworkAccess: true, publisherTrustedAlgorithms: [] }
Object.assign(computeDdo.services[0], { type: 'compute', compute })
const dataset = await wait(await step('createComputeAsset', () => publish(computeDdo)))
const allowTx = await step('allowAlgorithm', async () => {
  if (dataset.indexedMetadata.nft.owner !== publisher.address) throw new Error('not the owner')
  const service = algorithm.services[0]
  const [info] = await ProviderInstance.checkDidFiles(algorithm.id, service.id, service.serviceEndpoint, true)
  dataset.services[0].compute.publisherTrustedAlgorithms.push({
    did: algorithm.id,
    serviceId: service.id,
    containerSectionChecksum: getHash(container.entrypoint + container.checksum),
    filesChecksum: info.checksum
  })
  return update(dataset)
})
await step('waitForAllowed', () => wait(dataset.id, allowTx))

const service = asset.services[0]
const datatoken = new Datatoken(consumer, chainId)
const order = await step('orderAsset', async () => {
  const tx = await orderAsset(asset, consumer, config, datatoken, service.serviceEndpoint)
  await tx.wait()
  return tx.hash
})
await step('downloadFile', async () => {
  const url = await ProviderInstance.getDownloadUrl(did, service.id, 0, order, service.serviceEndpoint, consumer)
  const { data, filename } = await downloadFile(url)
  return { filename, sha256: sha256(data) }
})

await refused('getComputeEnvironments', () => ProviderInstance.getComputeEnvironments(provider))

const nft = new Nft(publisher, chainId)
await step('revoke', async () => {
  const tx = await nft.setMetadataState(asset.nftAddress, publisher.address, 3)
  await tx.wait?.()
  for (let tries = 0; tries < 200; tries++) {
    const ddo = await aquarius.resolve(did)
    if (ddo.version === 'deprecated') return ddo
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
})
await refused('initializeRevoked', () => ProviderInstance.initialize(did, service.id, 0, consumer.address, provider))
await step('end', () => 'reached')
process.exit(0)
