using Ndif.Protocol;

namespace Ndif;

/// <summary>Creates errors and converts between an <see cref="Error"/> and the exception that a user catches.</summary>
public static class Errors
{
    /// <summary>
    /// The exception for an error. An index error is the framework's <see cref="IndexOutOfRangeException"/>, a cancelled job its
    /// <see cref="OperationCanceledException"/>, each with the <see cref="NdifException"/> as inner exception; everything else derives from
    /// <see cref="NdifException"/>.
    /// </summary>
    public static Exception ToException(Error error, Exception? inner = null) => error.Code switch
    {
        ErrorCode.IndexOutOfRange => new IndexOutOfRangeException(ErrorText.Format(error), new NdifException(error, inner)),
        ErrorCode.OutOfOrder => new OutOfOrderException(error, inner),
        ErrorCode.MissedValue or ErrorCode.StepMissed => new MissedValueException(error, inner),
        ErrorCode.ShapeMismatch => new ShapeMismatchException(error, inner),
        ErrorCode.InvalidProgram or ErrorCode.UnknownOp or ErrorCode.UnknownModule or ErrorCode.BadArgument
            or ErrorCode.Unsupported or ErrorCode.LimitExceeded => new BadProgramException(error, inner),
        ErrorCode.BadCheckpoint or ErrorCode.UnsupportedArchitecture or ErrorCode.BadTokenizer => new CheckpointException(error, inner),
        ErrorCode.Unauthenticated or ErrorCode.PermissionDenied => new AccessException(error, inner),
        ErrorCode.JobCancelled => new OperationCanceledException(ErrorText.Format(error), new NdifException(error, inner)),
        _ => new NdifException(error, inner),
    };

    /// <summary>The error that an exception carries; INTERNAL for an exception of another library.</summary>
    public static Error FromException(Exception exception) => exception switch
    {
        NdifException known => known.Error,
        { InnerException: NdifException known } => known.Error,
        OperationCanceledException => new Error { Code = ErrorCode.JobCancelled, Message = "The run was cancelled." },
        _ => new Error { Code = ErrorCode.Internal, Message = $"{exception.GetType().Name}: {exception.Message}" },
    };

    /// <summary>A new error.</summary>
    /// <param name="hint">What the user can do; empty for nothing.</param>
    /// <param name="module">The path of the module concerned; empty for none.</param>
    public static Error Create(ErrorCode code, string message, string hint = "", string module = "") =>
        new() { Code = code, Message = message, Hint = hint, Module = module };

    /// <summary>A new error as the exception of <see cref="ToException"/>.</summary>
    /// <inheritdoc cref="Create"/>
    public static Exception CreateException(
        ErrorCode code, string message, string hint = "", string module = "", Exception? inner = null) =>
        ToException(Create(code, message, hint, module), inner);

    /// <summary>Longer names than those of modules, operations and options are not compared.</summary>
    private const int MaxNameLength = 256;

    /// <summary>"Did you mean `a`, `b` or `c`?" with the most similar of the valid names; empty if none is similar.</summary>
    public static string DidYouMean(string name, IEnumerable<string> valid, int count = 3)
    {
        if (name.Length > MaxNameLength) return ""; // the distance takes a step for each pair of letters
        string[] near = [.. valid.Select(candidate => (Name: candidate, Distance: Distance(name, candidate)))
            .Where(candidate => candidate.Distance <= Math.Max(2, name.Length / 2))
            .OrderBy(candidate => candidate.Distance).ThenBy(candidate => candidate.Name, StringComparer.Ordinal)
            .Take(count).Select(candidate => $"`{candidate.Name}`")];
        return near.Length switch
        {
            0 => "",
            1 => $"Did you mean {near[0]}?",
            _ => $"Did you mean {string.Join(", ", near[..^1])} or {near[^1]}?",
        };
    }

    /// <summary>Levenshtein distance, ignoring case.</summary>
    private static int Distance(string a, string b)
    {
        int[] row = [.. Enumerable.Range(0, b.Length + 1)];
        for (int i = 1; i <= a.Length; i++)
        {
            int diagonal = row[0];
            row[0] = i;
            for (int j = 1; j <= b.Length; j++)
            {
                bool isEqual = char.ToLowerInvariant(a[i - 1]) == char.ToLowerInvariant(b[j - 1]);
                int substitution = diagonal + (isEqual ? 0 : 1);
                diagonal = row[j];
                row[j] = Math.Min(substitution, Math.Min(row[j], row[j - 1]) + 1);
            }
        }
        return row[b.Length];
    }
}
