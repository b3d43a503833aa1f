// ocean.js 8.6 against a running Provider: publish, order, download, reuse, tokens, and the rest of its download path.
import { ethers } from 'ethers'
import {
  Aquarius,
  ConfigHelper,
  Datatoken,
  Nft,
  NftFactory,
  ProviderInstance,
  ZERO_ADDRESS,
  downloadFile,
  generateDid,
  getEventFromTx,
  orderAsset
} from '@oceanprotocol/lib'
import { fetched, newDdo, refused, sha256, stage, step } from './steps.mjs'

const chain = new ethers.JsonRpcProvider(stage.rpc, undefined, { cacheTimeout: -1, pollingInterval: 20 })
const publisher = new ethers.Wallet(stage.publisherKey, chain)
const consumer = new ethers.Wallet(stage.consumerKey, chain)
const aquarius = new Aquarius(stage.aquarius)
const config = new ConfigHelper().getConfig(stage.chainId)
const { chainId, provider } = stage
const slashed = provider + '/'

await step('isValidProvider', () => ProviderInstance.isValidProvider(provider))
await step('isValidProviderElsewhere', () => ProviderInstance.isValidProvider(stage.aquarius))
await step('getNonce', () => ProviderInstance.getNonce(provider, consumer.address))
await step('getNodeStatus', () => ProviderInstance.getNodeStatus(provider))

const file = { type: 'url', url: stage.files[0], method: 'GET' }
await step('getFileInfo', () => ProviderInstance.getFileInfo(file, provider, true))
await step('getFileInfoUnreachable', () =>
  ProviderInstance.getFileInfo({ ...file, url: stage.files[0] + '.missing' }, provider)
)
await refused('getFileInfoRefused', () => ProviderInstance.getFileInfo({ ...file, method: 'DELETE' }, provider))

// As createAsset does it, step by step; `one-url.mjs` calls that function itself.
const { nft: nftAddress, datatoken: datatokenAddress } = await step('createNftWithDatatokenWithDispenser', async () => {
  const nft = {
    name: 'Data',
    symbol: 'DATA',
    templateIndex: 1,
    tokenURI: '',
    transferable: true,
    owner: publisher.address
  }
  const token = {
    templateIndex: 1,
    cap: '100000',
    feeAmount: '0',
    paymentCollector: publisher.address,
    feeToken: config.oceanTokenAddress,
    minter: publisher.address,
    mpFeeAddress: ZERO_ADDRESS
  }
  const dispenser = {
    dispenserAddress: config.dispenserAddress,
    maxTokens: '1',
    maxBalance: '100000000',
    withMint: true,
    allowedSwapper: ZERO_ADDRESS
  }
  const factory = new NftFactory(config.nftFactoryAddress, publisher, chainId)
  const receipt = await (await factory.createNftWithDatatokenWithDispenser(nft, token, dispenser)).wait()
  return {
    nft: getEventFromTx(receipt, 'NFTCreated').args.newTokenAddress,
    datatoken: getEventFromTx(receipt, 'TokenCreated').args.newTokenAddress
  }
})
const files = await step('encrypt', () => {
  const clear = { datatokenAddress, nftAddress, files: stage.files.map((url) => ({ ...file, url })) }
  return ProviderInstance.encrypt(clear, chainId, provider, publisher)
})
const ddo = { ...newDdo('eight'), nftAddress, id: generateDid(nftAddress, chainId) }
Object.assign(ddo.services[0], { files, datatokenAddress })
const did = ddo.id
await step('setMetadata', async () => {
  const document = await ProviderInstance.encrypt(ddo, chainId, provider, publisher)
  const hash = '0x' + sha256(JSON.stringify(ddo))
  const nft = new Nft(publisher, chainId)
  const tx = await nft.setMetadata(nftAddress, publisher.address, 0, provider, '', '0x02', document, hash)
  return tx.hash
})
const asset = await step('waitForIndexer', () => aquarius.waitForIndexer(did, undefined, undefined, 20))
const service = asset.services[0]

await step('checkDidFiles', () => ProviderInstance.checkDidFiles(did, service.id, provider, true))
const quote = await step('initialize', () =>
  ProviderInstance.initialize(did, service.id, 0, consumer.address, provider, undefined, { colour: 'blau grün 8' })
)
await refused('initializeUnknown', () =>
  ProviderInstance.initialize('did:op:' + '0'.repeat(64), service.id, 0, consumer.address, provider)
)
await refused('checkDidFilesUnknown', () => ProviderInstance.checkDidFiles('did:op:' + '0'.repeat(64), '1', provider))
await refused('initializeNoSuchFile', () => ProviderInstance.initialize(did, service.id, 7, consumer.address, provider))

const datatoken = new Datatoken(consumer, chainId)
const order = await step('orderAsset', async () =>
  (await orderAsset(asset, consumer, config, datatoken, provider)).hash
)
const url = (index, uri, signer = consumer, userdata = undefined) =>
  ProviderInstance.getDownloadUrl(did, service.id, index, order, uri, signer, undefined, userdata)

await step('downloadFile', async () => {
  const { data, filename } = await downloadFile(await url(0, provider))
  return { filename, sha256: sha256(data) }
})
const used = await url(1, provider)
await step('fetchDownloadUrl', () => fetched(used))
await step('fetchUsedUrl', () => fetched(used))
await step('fetchRange', async () => fetched(await url(1, provider), { Range: 'bytes=1000-1999' }))
await step('fetchRangeIgnored', async () => fetched(await url(0, provider), { Range: 'bytes=1-9' }))
await step('fetchUserdata', async () => fetched(await url(0, provider, consumer, { colour: 'blau grün 8' })))
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
await step('downloadUnpaid', async () => fetched(await url(0, provider, publisher)))

const token = await step('generateAuthToken', () => ProviderInstance.generateAuthToken(consumer, provider))
const withToken = await step('tokenDownloadUrl', () => url(0, provider, token))
await step('tokenDownload', () => fetched(withToken, { Authorization: token }))
await step('tokenMissing', () => fetched(withToken))
await step('tokenEncrypt', () => ProviderInstance.encrypt({ hello: 'world' }, chainId, provider, token))
await step('invalidateAuthToken', () => ProviderInstance.invalidateAuthToken(consumer, token, provider))
await step('tokenRevoked', () => fetched(withToken, { Authorization: token }))
await step('end', () => 'reached')
process.exit(0)
