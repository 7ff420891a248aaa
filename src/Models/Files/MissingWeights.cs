using ErrorCode = Ndif.Protocol.ErrorCode;

namespace Ndif.Models.Files;

/// <summary>The error for a model without safetensors weights, on disk or on the hub.</summary>
internal static class MissingWeights
{
    /// <param name="location">The folder or repository, as the subject of the message.</param>
    /// <param name="files">The names of the files there.</param>
    /// <param name="pickleHint">What to do if the weights are a Python pickle.</param>
    /// <param name="hint">What to do if there are no weights at all.</param>
    public static Exception CreateException(string location, IEnumerable<string> files, string pickleHint, string hint) =>
        files.Where(Checkpoint.IsPickle).Order(StringComparer.Ordinal).FirstOrDefault() is { } pickle
            ? Errors.CreateException(ErrorCode.BadCheckpoint,
                $"{location} has its weights as `{pickle}`, a Python pickle, which is refused: "
                + "reading a pickle runs whatever code is in it.", pickleHint)
            : Errors.CreateException(ErrorCode.BadCheckpoint,
                $"{location} has neither {Checkpoint.SingleFileName} nor {Checkpoint.IndexFileName}.", hint);
}
