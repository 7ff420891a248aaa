using System.ComponentModel.DataAnnotations;
using Ndif.Models.Loading;
using Ndif.Protocol;
using Ndif.Queue;
using TorchSharp;

namespace Ndif.Worker;

/// <summary>What a worker serves and how.</summary>
public sealed record WorkerOptions
{
    /// <summary>Its name among the workers. Default: machine name and process id.</summary>
    [Required, RegularExpression(@"[\w.:-]{1,100}")]
    public string Id { get; init; } = $"{Environment.MachineName}-{Environment.ProcessId}";

    /// <summary>
    /// Ids or folders of the models it is started with: each is loaded before the first job, and stays. What is deployed comes to them on
    /// demand. Default: none.
    /// </summary>
    public IReadOnlyList<string> Models { get; init; } = [];

    /// <summary>Where the weights go: "cpu", "cuda", "cuda:1"; "cuda:0,cuda:1" share the layers of each model. Default "cpu".</summary>
    [Required]
    public string Device { get; init; } = "cpu";

    /// <summary>The element type to load weights in: "float32", "bfloat16", "float16"; empty for the checkpoint's own. Default empty.</summary>
    [RegularExpression("float32|bfloat16|float16", ErrorMessage = "Dtype must be float32, bfloat16 or float16, or empty for the checkpoint's own.")]
    public string Dtype { get; init; } = "";

    /// <summary>Linear layers keep their weights in eight bits: about a quarter of float32's memory, slower, and a little off. Default false.</summary>
    public bool EightBit { get; init; }

    /// <summary>
    /// Bytes for the weights of models on the device; passes need memory beside it. Default (null): on the CPU four fifths of what this
    /// process may have, on another device as much as there is.
    /// </summary>
    [Range(1, long.MaxValue)]
    public long? Memory { get; init; }

    /// <summary>
    /// Bytes of this machine's memory for models that were taken off the device, from where they come back without a disk. Default 0: none;
    /// on the CPU it would be the same memory.
    /// </summary>
    [Range(0, long.MaxValue)]
    public long WarmMemory { get; init; }

    /// <summary>
    /// Bytes that the values of one job may have at a time; more ends that job as OUT_OF_MEMORY, and no other. It keeps one program from
    /// bringing the process down. Default (null): on the CPU a quarter of what this process may have, at least 4 GiB; on another device,
    /// which refuses by itself, no bound.
    /// </summary>
    [Range(1 << 20, long.MaxValue)]
    public long? JobMemory { get; init; }

    /// <summary>
    /// How long a model stays at least before it makes room for another; or five times as long as its loading took, if that is longer.
    /// Default 10 s.
    /// </summary>
    [Range(typeof(TimeSpan), "00:00:00", "1.00:00:00")]
    public TimeSpan MinResidence { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>How long after a failure a model is not tried again; twice as long after each further one, to 10 min. Default 10 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00.010", "00:10:00")]
    public TimeSpan FailurePause { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>How long jobs may still run when the worker is told to stop; then they go back to the queue. Default 5 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00", "00:10:00")]
    public TimeSpan Grace { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>How many jobs of different users go through one pass at most. Default 8.</summary>
    [Range(1, 1024)]
    public int MaxBatch { get; init; } = 8;

    /// <summary>
    /// Prompts of generations longer than this run in chunks of so many tokens, where no program has a site in the model: it bounds the
    /// memory of attention scores and logits. Default 0: always whole.
    /// </summary>
    [Range(0, 1 << 20)]
    public int PrefillChunk { get; init; }

    /// <summary>How often a lease is renewed; a third of the queue's lease duration is right. Default 10 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00.010", "01:00:00")]
    public TimeSpan RenewEvery { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>How often the worker says that it lives. Default 1 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00.010", "00:01:00")]
    public TimeSpan Heartbeat { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>How long a model waits for a job before the memory of its passes goes back to the system. Default 1 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00.010", "01:00:00")]
    public TimeSpan RestAfter { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>The longest the forward pass waits for a client's answer to a local call. Default 1 min.</summary>
    [Range(typeof(TimeSpan), "00:00:00.010", "1.00:00:00")]
    public TimeSpan LocalCallTimeout { get; init; } = TimeSpan.FromMinutes(1);

    /// <summary>The longest a job may run if it does not ask for less. Default 1 h.</summary>
    [Range(typeof(TimeSpan), "00:00:00.001", "7.00:00:00")]
    public TimeSpan WallTime { get; init; } = TimeSpan.FromHours(1);

    /// <summary>Events a job may be ahead of the queue by; then its run waits. Default 256.</summary>
    [Range(1, 1 << 16)]
    public int EventBuffer { get; init; } = 256;

    /// <summary>What <see cref="Memory"/> comes to, in bytes.</summary>
    internal long WeightBudget => Memory ?? (Device == "cpu" ? GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / 5 * 4 : long.MaxValue);

    /// <summary>What <see cref="JobMemory"/> comes to, in bytes.</summary>
    internal long JobMemoryBudget => JobMemory ?? (Device == "cpu" ? Math.Max(4L << 30, GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / 4) : long.MaxValue);

    /// <param name="dtype">Null for <see cref="Dtype"/>.</param>
    internal LoadOptions ToLoadOptions(torch.ScalarType? dtype) => new()
    {
        DType = dtype ?? Ndif.Models.Files.SafetensorsDTypes.OfConfig(Dtype), EightBit = EightBit, DeviceMap = DeviceMap.Parse(Device),
    };

    /// <summary>Refuses options that are out of bounds, with a sentence for each.</summary>
    /// <exception cref="NdifException">BAD_ARGUMENT.</exception>
    public void Validate() => OptionsValidator.Validate(this, "The worker cannot start");
}
