using System.Globalization;
using Ndif.Protocol;

namespace Ndif.Worker;

/// <summary>Why a worker cannot hold a model, with what to do.</summary>
internal static class WorkerErrors
{
    /// <param name="taken">Bytes that models hold which are not evicted for another.</param>
    public static Error TooLarge(string model, long bytes, long budget, long taken, string worker) => Errors.Make(ErrorCode.OutOfMemory,
        taken == 0
            ? $"`{model}` needs {Size(bytes)} of memory for its weights, and worker `{worker}` has {Size(budget)}."
            : $"`{model}` needs {Size(bytes)} of memory for its weights; worker `{worker}` has {Size(budget)}, of which models that stay hold {Size(taken)}.",
        "An operator can start a worker with more (--memory), deploy the model in a narrower type, or unpin another.");

    public static Exception StartTooLarge(long bytes, long budget) => Errors.Throwable(ErrorCode.BadArgument,
        $"The worker cannot start: the models it was given need {Size(bytes)}, and --memory is {Size(budget)}.", "Give it more memory or fewer models.");

    /// <summary>Why a load failed; a device that is full says so in libtorch's words.</summary>
    public static Error OfLoad(string model, Exception failure) =>
        failure is not NdifException && (failure is OutOfMemoryException || failure.Message.Contains("out of memory", StringComparison.OrdinalIgnoreCase) || failure.Message.Contains("allocate memory", StringComparison.Ordinal))
            ? Errors.Make(ErrorCode.OutOfMemory, $"`{model}` did not fit when it was loaded: {failure.Message.Split('\n')[0].TrimEnd('.')}.", "Passes need memory beside the weights: start the worker with a smaller --memory.")
            : Errors.Of(failure);

    /// <summary>What a job is told that waited for a model which no worker can hold.</summary>
    public static Error NoWorkerHolds(string model, Error because)
    {
        Error error = because.Clone();
        error.Message = $"No worker can hold `{model}`: {because.Message}";
        return error;
    }

    private static string Size(long bytes) => bytes switch
    {
        < 1_000_000 => string.Create(CultureInfo.InvariantCulture, $"{bytes:N0} bytes"),
        < 1_000_000_000 => string.Create(CultureInfo.InvariantCulture, $"{bytes / 1e6:0.##} MB"),
        _ => string.Create(CultureInfo.InvariantCulture, $"{bytes / 1e9:0.##} GB"),
    };
}
