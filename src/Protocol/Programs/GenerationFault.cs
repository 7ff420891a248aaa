namespace Ndif.Protocol.Programs;

/// <summary>Why an option of a model's files cannot be used.</summary>
/// <param name="Option">The option; null if it is the file as a whole, or several options together.</param>
/// <param name="Message">Names the file and the value.</param>
internal sealed record GenerationFault(GenerationOption? Option, string Message, Exception Cause)
{
    /// <summary>The value is a number, where the option is one: it is out of its bounds, and not of another kind.</summary>
    public bool IsNumber { get; init; }

    private bool IsOfSampling => IsNumber && Option is { IsSamplingOnly: true };

    /// <summary>Whether a generation needs the value: its requests do not set it, and it has an effect.</summary>
    /// <param name="merged">The options of the files and the requests.</param>
    public bool Concerns(Generation merged, ReadOnlySpan<Generation?> requests)
    {
        if (Option is null) return true;
        foreach (Generation? request in requests)
            if (request is not null && Option.IsSet(request)) return false;
        return !IsOfSampling || merged.Sample;
    }

    /// <param name="isSampling">Whether the files ask for sampling. Without, only a request gives an option of sampling an effect.</param>
    public Exception CreateException(bool isSampling) => IsOfSampling && !isSampling
        ? Errors.CreateException(ErrorCode.BadArgument, Message, (Cause as NdifException)?.Error.Hint ?? "", inner: Cause)
        : Errors.CreateException(ErrorCode.BadCheckpoint, Message, (Cause as NdifException)?.Error.Hint ?? "", inner: Cause);
}
