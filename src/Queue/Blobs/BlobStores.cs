using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace Ndif.Queue.Blobs;

/// <summary>Opens the store that the options mean.</summary>
public static class BlobStores
{
    /// <exception cref="NdifException">BAD_ARGUMENT: the options are out of bounds, or their root is no place for blobs.</exception>
    public static IBlobStore Open(BlobOptions? options = null, TimeProvider? time = null, ILoggerFactory? logs = null)
    {
        options = (options ?? new BlobOptions()).Validate();
        logs ??= NullLoggerFactory.Instance;
        return S3Location.TryParse(options.Root, out S3Location? location)
            ? new S3BlobStore(location.NewClient(), location, options, time, logs.CreateLogger<S3BlobStore>())
            : new DirectoryBlobStore(options, time, logs.CreateLogger<DirectoryBlobStore>());
    }
}
