using Ndif.Protocol;

namespace Ndif;

/// <summary>From an <see cref="Error"/> to the exception a user catches, and back. The one place that knows which is which.</summary>
public static class Errors
{
    /// <summary>The exception for an error. Index errors are the framework's own <see cref="IndexOutOfRangeException"/>.</summary>
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

    /// <summary>The error an exception carries, or INTERNAL for one that is not ours.</summary>
    public static Error FromException(Exception exception) => exception switch
    {
        NdifException ours => ours.Error,
        { InnerException: NdifException ours } => ours.Error,
        OperationCanceledException => new Error { Code = ErrorCode.JobCancelled, Message = "The run was cancelled." },
        _ => new Error { Code = ErrorCode.Internal, Message = $"{exception.GetType().Name}: {exception.Message}" },
    };

    public static Error Create(ErrorCode code, string message, string hint = "", string module = "") =>
        new() { Code = code, Message = message, Hint = hint, Module = module };

    public static Exception CreateException(ErrorCode code, string message, string hint = "", string module = "", Exception? inner = null) =>
        ToException(Create(code, message, hint, module), inner);

    /// <summary>"Did you mean a, b or c?" from the nearest of the valid names, or an empty text if none is near.</summary>
    public static string DidYouMean(string name, IEnumerable<string> valid, int count = 3)
    {
        string[] near = [.. valid.Select(v => (Name: v, Distance: Distance(name, v)))
            .Where(v => v.Distance <= Math.Max(2, name.Length / 2))
            .OrderBy(v => v.Distance).ThenBy(v => v.Name, StringComparer.Ordinal)
            .Take(count).Select(v => $"`{v.Name}`")];
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
                int substitution = diagonal + (char.ToLowerInvariant(a[i - 1]) == char.ToLowerInvariant(b[j - 1]) ? 0 : 1);
                diagonal = row[j];
                row[j] = Math.Min(substitution, Math.Min(row[j], row[j - 1]) + 1);
            }
        }
        return row[b.Length];
    }
}
