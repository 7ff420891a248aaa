using System.Globalization;
using Ndif.Protocol;

namespace Ndif.Worker;

/// <summary>Creates the errors of a worker that cannot load a model. Each one says what to do.</summary>
internal static class WorkerErrors
{
    /// <param name="retained">The bytes of the loaded models that may not be evicted.</param>
    public static Error ModelTooLarge(string model, long bytes, long budget, long retained, string worker) =>
        Errors.Create(ErrorCode.OutOfMemory,
        retained == 0
            ? $"`{model}` needs {FormatSize(bytes)} of memory for its weights, and worker `{worker}` has {FormatSize(budget)}."
            : $"`{model}` needs {FormatSize(bytes)} of memory for its weights; worker `{worker}` has {FormatSize(budget)}, "
                + $"of which preloaded and pinned models use {FormatSize(retained)}.",
        "Operators: start a worker with more memory (--memory), deploy the model in a narrower type, or unpin another model.");

    public static Exception DeployedFolder(string model) => Errors.CreateException(ErrorCode.UnknownModel,
        $"`{model}` was deployed as an id on the hub, and a folder of this name is in the working directory of the worker.",
        "Operators: start the worker in another directory, or deploy the full path of the folder.");

    public static Exception PreloadedModelsTooLarge(long bytes, long budget) => Errors.CreateException(ErrorCode.BadArgument,
        $"The worker cannot start: its preloaded models need {FormatSize(bytes)}, and --memory is {FormatSize(budget)}.",
        "Start it with more memory or with fewer models.");

    /// <summary>Returns the error of a failed load. Out-of-memory exceptions of libtorch are recognized by their text.</summary>
    public static Error FromLoadFailure(string model, Exception failure) => IsOutOfMemory(failure)
        ? Errors.Create(ErrorCode.OutOfMemory, $"`{model}` did not fit when it was loaded: {failure.Message.Split('\n')[0].TrimEnd('.')}.",
            "Forward passes need memory in addition to the weights: start the worker with a smaller --memory.")
        : Errors.FromException(failure);

    /// <summary>Returns the error of a job that waited for a model which no worker can load.</summary>
    public static Error NoWorkerCanLoad(string model, Error cause)
    {
        Error error = cause.Clone();
        error.Message = $"No worker can hold `{model}`: {cause.Message}";
        return ServerPaths.Remove(error);
    }

    private static bool IsOutOfMemory(Exception failure) => failure is not NdifException
        && (failure is OutOfMemoryException
            || failure.Message.Contains("out of memory", StringComparison.OrdinalIgnoreCase)
            || failure.Message.Contains("allocate memory", StringComparison.Ordinal));

    private static string FormatSize(long bytes) => bytes switch
    {
        < 1_000_000 => string.Create(CultureInfo.InvariantCulture, $"{bytes:N0} bytes"),
        < 1_000_000_000 => string.Create(CultureInfo.InvariantCulture, $"{bytes / 1e6:0.##} MB"),
        _ => string.Create(CultureInfo.InvariantCulture, $"{bytes / 1e9:0.##} GB"),
    };
}
