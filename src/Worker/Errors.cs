using System.Globalization;
using Ndif.Protocol;

namespace Ndif.Worker;

/// <summary>Why a worker cannot hold a model, with what to do.</summary>
internal static class WorkerErrors
{
    /// <param name="retained">Bytes that models hold which are not evicted for another.</param>
    public static Error ModelTooLarge(string model, long bytes, long budget, long retained, string worker) => Errors.Create(ErrorCode.OutOfMemory,
        retained == 0
            ? $"`{model}` needs {FormatSize(bytes)} of memory for its weights, and worker `{worker}` has {FormatSize(budget)}."
            : $"`{model}` needs {FormatSize(bytes)} of memory for its weights; worker `{worker}` has {FormatSize(budget)}, of which models that stay hold {FormatSize(retained)}.",
        "An operator can start a worker with more (--memory), deploy the model in a narrower type, or unpin another.");

    public static Exception PreloadedModelsTooLarge(long bytes, long budget) => Errors.CreateException(ErrorCode.BadArgument,
        $"The worker cannot start: the models it was given need {FormatSize(bytes)}, and --memory is {FormatSize(budget)}.", "Give it more memory or fewer models.");

    /// <summary>Why a load failed; a device that is full says so in libtorch's words.</summary>
    public static Error FromLoadFailure(string model, Exception failure) =>
        failure is not NdifException && (failure is OutOfMemoryException || failure.Message.Contains("out of memory", StringComparison.OrdinalIgnoreCase) || failure.Message.Contains("allocate memory", StringComparison.Ordinal))
            ? Errors.Create(ErrorCode.OutOfMemory, $"`{model}` did not fit when it was loaded: {failure.Message.Split('\n')[0].TrimEnd('.')}.", "Passes need memory beside the weights: start the worker with a smaller --memory.")
            : Errors.FromException(failure);

    /// <summary>What a job is told that waited for a model which no worker can hold.</summary>
    public static Error NoWorkerCanLoad(string model, Error cause)
    {
        Error error = cause.Clone();
        error.Message = $"No worker can hold `{model}`: {cause.Message}";
        return error;
    }

    private static string FormatSize(long bytes) => bytes switch
    {
        < 1_000_000 => string.Create(CultureInfo.InvariantCulture, $"{bytes:N0} bytes"),
        < 1_000_000_000 => string.Create(CultureInfo.InvariantCulture, $"{bytes / 1e6:0.##} MB"),
        _ => string.Create(CultureInfo.InvariantCulture, $"{bytes / 1e9:0.##} GB"),
    };
}
