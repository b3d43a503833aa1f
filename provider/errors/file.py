"""File lists, file objects and encrypted documents."""

from provider.errors.base import ProviderError


class FileError(ProviderError):
    """Base of refusals about the file list or a file object."""

    code = "file_refused"
    http_status = 400


class FilesUndecryptable(FileError):
    """The files envelope cannot be decrypted, or is bound to another asset."""

    code = "files_undecryptable"
    text = "Unable to get dataset files"


class FileIndexOutOfRange(FileError):
    """No file at this index."""

    code = "file_index_out_of_range"
    text = "No such fileIndex"


class FileObjectInvalid(FileError):
    """A file object breaks a rule of its type (`provider-api.md` section 11.1)."""

    code = "file_object_invalid"
    text = "malformed file object."


class FileUnavailable(FileError):
    """The file does not answer as a readable file."""

    code = "file_unavailable"
    text = "Asset URL not found, not available or invalid."


class EncryptError(ProviderError):
    """The body cannot be encrypted."""

    code = "encrypt_failed"
    http_status = 400
    text = "Failed to encrypt."


class DecryptError(ProviderError):
    """A document cannot be decrypted; the exact texts of `provider-api.md` section 5.3."""

    code = "decrypt_failed"
    http_status = 400
    text = "Failed to decrypt."


class DecrypterNotAuthorized(DecryptError):
    """The caller is not an authorised decrypter."""

    code = "decrypter_not_authorized"
    http_status = 403
    text = "Decrypter not authorized"


class DocumentStateRefused(DecryptError):
    """The data NFT's state forbids reading its document."""

    code = "document_state_refused"
    http_status = 403
    text = "Asset revoked"
