namespace Ndif;

/// <summary>How activations are collected. The members of a collection that was begun cannot be changed when it is resumed.</summary>
public sealed record CollectOptions
{
    /// <summary>
    /// The element type of the stored values: <see cref="DType.Float32"/>, <see cref="DType.BFloat16"/> or <see cref="DType.Float16"/>;
    /// null for the type in which the model computes them.
    /// </summary>
    public DType? Dtype { get; init; }

    /// <summary>The file format of the shards.</summary>
    public ShardFormat Format { get; init; } = ShardFormat.Safetensors;

    /// <summary>The largest number of tokens of one forward pass, padding included. A longer text is a pass of its own.</summary>
    public int BatchTokens { get; init; } = 4096;

    /// <summary>
    /// The number of texts that are sorted by length before batches are formed, so that little padding is needed. As many texts are
    /// tokenized again when a collection is resumed.
    /// </summary>
    public int LookaheadTexts { get; init; } = 2048;

    /// <summary>
    /// The size in bytes at which a shard is complete. A shard is held in memory until it is written, and what an interrupted run had of
    /// its last shard is computed again.
    /// </summary>
    public long ShardBytes { get; init; } = 128 << 20;

    /// <summary>Leaves out the first token of each text, whose activations are unlike all others in most models.</summary>
    public bool SkipFirstToken { get; init; }

    /// <summary>Adds the special tokens that the model expects around a text.</summary>
    public bool AddSpecialTokens { get; init; } = true;

    /// <summary>The largest number of tokens of a text; null for the context length of the model.</summary>
    public int? MaxTokens { get; init; }

    /// <summary>What happens with texts that have more than <see cref="MaxTokens"/>.</summary>
    public LongTexts LongTexts { get; init; } = LongTexts.Truncate;

    /// <summary>What happens with texts that are not valid UTF-8.</summary>
    public InvalidTexts InvalidTexts { get; init; } = InvalidTexts.Replace;

    /// <summary>Stops after this number of rows, of one token each; null for the whole dataset.</summary>
    public long? MaxRows { get; init; }

    /// <summary>
    /// The number of jobs that run or wait at once; null for 2 in this process and 4 on a service. It bounds the memory, and can be
    /// changed when a collection is resumed.
    /// </summary>
    public int? JobsInFlight { get; init; }

    /// <summary>
    /// The number of passes of one job; null for 1 in this process and 8 on a service, which limits the number of jobs a minute. It can be
    /// changed when a collection is resumed.
    /// </summary>
    public int? BatchesPerJob { get; init; }

    /// <exception cref="NdifException">BAD_ARGUMENT: an option is out of its bounds; the message names it.</exception>
    internal void Validate()
    {
        if (Dtype is { } type and not (DType.Float32 or DType.BFloat16 or DType.Float16))
            throw Invalid(nameof(Dtype), type.TorchName(), "float32, bfloat16 or float16");
        RequirePositive(nameof(BatchTokens), BatchTokens);
        RequirePositive(nameof(LookaheadTexts), LookaheadTexts);
        RequirePositive(nameof(ShardBytes), ShardBytes);
        RequirePositive(nameof(MaxTokens), MaxTokens);
        RequirePositive(nameof(MaxRows), MaxRows);
        RequirePositive(nameof(JobsInFlight), JobsInFlight);
        RequirePositive(nameof(BatchesPerJob), BatchesPerJob);
    }

    private static void RequirePositive(string name, long? value)
    {
        if (value <= 0) throw Invalid(name, $"{value}", "a positive number");
    }

    private static Exception Invalid(string name, string value, string valid) =>
        Errors.CreateException(Protocol.ErrorCode.BadArgument, $"The option {name} is {value}; it must be {valid}.");
}

/// <summary>The file format of the shards of a collection.</summary>
public enum ShardFormat
{
    /// <summary>
    /// A tensor [rows, ...] for each site, in the element type of the collection, and <c>text</c>, <c>token</c> and <c>position</c> [rows].
    /// </summary>
    Safetensors,

    /// <summary>
    /// A list of float32 for each site, and the columns <c>text</c>, <c>token</c> and <c>position</c>. Numbers are rounded to the element
    /// type of the collection.
    /// </summary>
    Parquet,
}

/// <summary>What happens with texts that have too many tokens.</summary>
public enum LongTexts
{
    /// <summary>The first tokens are used.</summary>
    Truncate,

    /// <summary>The text is left out.</summary>
    Skip,

    /// <summary>The collection fails (BAD_INPUT).</summary>
    Refuse,
}

/// <summary>What happens with texts that are not valid UTF-8, or have half of a surrogate pair.</summary>
public enum InvalidTexts
{
    /// <summary>Each invalid sequence becomes U+FFFD, the replacement character.</summary>
    Replace,

    /// <summary>The text is left out.</summary>
    Skip,

    /// <summary>The collection fails (BAD_INPUT).</summary>
    Refuse,
}
