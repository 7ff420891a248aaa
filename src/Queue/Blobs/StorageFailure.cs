using Ndif.Protocol;

namespace Ndif.Queue.Blobs;

/// <summary>
/// Failures to write to the disk of the service: it is full, read-only, or the process may not write there. The text of such an exception
/// contains a path of the server, so it is for the log only.
/// </summary>
public static class StorageFailure
{
    /// <summary>Returns whether the exception is a failure to read or write a file of the service.</summary>
    public static bool IsStorageFailure(Exception exception) => exception is UnauthorizedAccessException
        || (exception.GetType() == typeof(IOException) && exception.InnerException is null);

    /// <summary>Returns the error for the user: retryable, and without a path.</summary>
    public static NdifException ToException(Exception failure) => new(new Error
    {
        Code = ErrorCode.Unavailable,
        Message = IsFull(failure) ? "The service has no space left to store large tensors."
            : "The service cannot write to its storage of large tensors.",
        Hint = "Try again later, or tell your operator: the log of the service has the reason.",
        Retryable = true,
        RetryAfterSeconds = 10,
    }, failure);

    /// <summary>Checks that a folder can be written to.</summary>
    /// <exception cref="NdifException">UNAVAILABLE: it cannot.</exception>
    public static void ThrowIfReadOnly(string folder)
    {
        string probe = Path.Combine(folder, $"probe-{Guid.NewGuid():n}");
        try
        {
            Directory.CreateDirectory(folder);
            File.WriteAllBytes(probe, [1]);
            File.Delete(probe);
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            throw Errors.CreateException(ErrorCode.Unavailable,
                $"The folder `{Path.GetFullPath(folder)}` of the service cannot be written to: {failure.Message}",
                "Choose another folder with --data (or --blobs), make it writable for this user, or free space on its disk.",
                    inner: failure);
        }
    }

    /// <summary>ENOSPC, EDQUOT and EFBIG of Unix, ERROR_DISK_FULL of Windows.</summary>
    private static bool IsFull(Exception failure) => (failure.HResult & 0xffff) is 28 or 122 or 27 or 112
        || failure.Message.Contains("No space left", StringComparison.Ordinal)
        || failure.Message.Contains("quota exceeded", StringComparison.OrdinalIgnoreCase);
}
