"""File lists, file objects and encrypted documents."""

from provider.errors.base import Fault, ProviderError


class FileError(ProviderError):
    """Base of refusals about the file list or a file object."""

    code = "file_refused"
    fault: Fault = "origin"
    http_status = 400


class FilesUndecryptable(FileError):
    """The files envelope cannot be decrypted, or is bound to another asset."""

    code = "files_undecryptable"
    remedy = "Publisher: encrypt the file list with this Provider, for this data NFT and datatoken, and publish again."
    text = "Unable to get dataset files"


class FileIndexOutOfRange(FileError):
    """There is no file at this index."""

    code = "file_index_out_of_range"
    fault: Fault = "consumer"
    remedy = "Use an index from 0 to one less than the number of files in fileinfo."
    text = "No such fileIndex"


class FileObjectInvalid(FileError):
    """A file object breaks a rule of its type (`provider-api.md` section 11.1)."""

    code = "file_object_invalid"
    remedy = "Publisher: correct the file object as the text says, encrypt the list and publish again."
    text = "malformed file object."


class SourceRefused(FileError):
    """The file comes from a named source that does not list both the owner of the asset's NFT and its publisher."""

    code = "source_refused"
    remedy = (
        "Publisher: ask the operator whether this source exists, and lists the owner of your data NFT and the account "
        "that sent its newest document. Operator: see `publishers` of the source."
    )
    http_status = 403
    text = "This file may not be sold by the publisher of its asset."


class UserdataInvalid(FileError):
    """User data that a file needs cannot be read, or do not match its inputs."""

    code = "userdata_invalid"
    fault: Fault = "consumer"
    remedy = "Send `userdata` as a JSON object with a value of the right type for each input of the file."
    text = "userdata is not a JSON object."


class FileUnavailable(FileError):
    """The file's host does not answer with a readable file."""

    code = "file_unavailable"
    remedy = "Try again later. Publisher: make the file reachable, or correct its address."
    text = "Asset URL not found, not available or invalid."


class EncryptError(ProviderError):
    """The body cannot be encrypted."""

    code = "encrypt_failed"
    fault: Fault = "consumer"
    remedy = "Send a `chainId` that `GET /` lists."
    http_status = 400
    text = "Failed to encrypt."


class DecryptError(ProviderError):
    """A document cannot be decrypted; the exact texts of `provider-api.md` section 5.3."""

    code = "decrypt_failed"
    fault: Fault = "consumer"
    remedy = "Check the part in the text: the transaction, the document with its flags and hash, or the data NFT."
    http_status = 400
    text = "Failed to decrypt."


class DecrypterNotAuthorized(DecryptError):
    """The caller is not an authorized decrypter."""

    code = "decrypter_not_authorized"
    remedy = (
        "Ask the operator to add the address to `AUTHORIZED_DECRYPTERS`, or to an access list of "
        "`AUTHORIZED_DECRYPTERS_LIST`."
    )
    http_status = 403
    text = "Decrypter not authorized"


class DocumentStateRefused(DecryptError):
    """The data NFT's state forbids reading its document."""

    code = "document_state_refused"
    remedy = "Publisher: set the data NFT to a readable state. Until then the document cannot be read."
    http_status = 403
    text = "Asset revoked"
    other_texts = ("Asset end of life", "Asset deprecated")


class PreconditionRefused(ProviderError):
    """The file is not the version that the request demands with `If-Match` or `If-Unmodified-Since`."""

    code = "precondition_failed"
    fault: Fault = "consumer"
    remedy = "Fetch the file from its beginning without the condition: it has changed."
    http_status = 412
    text = "The file is not the version that If-Match or If-Unmodified-Since names."


class FileListTooLong(FileError):
    """The file list of the service, or the list in the request, holds too many files."""

    code = "file_list_too_long"
    remedy = "Publisher: spread the files over several services, or pack them into fewer files."
    text = "The file list holds more than 100 files."
