using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace Ndif.Queue.Blobs;

/// <summary>Creates the blob store that the options select.</summary>
public static class BlobStores
{
    /// <exception cref="NdifException">BAD_ARGUMENT: an option is out of bounds, or the root is not a valid location.</exception>
    public static IBlobStore Open(BlobOptions? options = null, TimeProvider? time = null, ILoggerFactory? logs = null)
    {
        options = (options ?? new BlobOptions()).Validate();
        logs ??= NullLoggerFactory.Instance;
        return S3Location.TryParse(options.Root, out S3Location? location)
            ? new S3BlobStore(location.NewClient(), location, options, time, logs.CreateLogger<S3BlobStore>())
            : new DirectoryBlobStore(options, time, logs.CreateLogger<DirectoryBlobStore>());
    }
}
