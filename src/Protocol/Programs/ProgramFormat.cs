namespace Ndif.Protocol.Programs;

/// <summary>Constants of the program format, the same for client and service.</summary>
public static class ProgramFormat
{
    /// <summary>The version of the format. It changes when an older reader would misread a program.</summary>
    public const uint Version = 1;

    /// <summary>
    /// The feature of a program with a generation option from suppress_tokens on, which an earlier service would ignore.
    /// </summary>
    public const string LogitsProcessors = "logits_processors";

    /// <summary>
    /// The feature of a program that calls, skips or starts at modules of a model with an adapter, where an earlier service would leave the
    /// adapter out, or refuse it.
    /// </summary>
    public const string Adapters = "adapters";

    /// <summary>The feature of a program that caches the routing of tokens to experts, which an earlier service would leave out.</summary>
    public const string Routing = "routing";

    /// <summary>The features that a program may require by name (Program.required_features).</summary>
    public static IReadOnlyList<string> Features { get; } = [LogitsProcessors, Adapters, Routing];

    /// <summary>
    /// Tensors up to this size are sent inside messages, larger ones as blobs: messages are kept in the memory of the queue, blobs on disk.
    /// </summary>
    public const int MaxInlineTensorBytes = 16 << 10;

    /// <summary>The most dimensions that a tensor may have. libtorch's TensorIterator has the same limit.</summary>
    public const int MaxRank = 64;
}
