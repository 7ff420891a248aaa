using System.ComponentModel.DataAnnotations;
using Ndif.Engine.Scheduling;
using Ndif.Models.Loading;
using Ndif.Protocol;
using Ndif.Queue;
using TorchSharp;

namespace Ndif.Worker;

/// <summary>The options of a worker.</summary>
public sealed record WorkerOptions
{
    /// <summary>The unique id of the worker. Default: machine name and process id.</summary>
    [Required, RegularExpression(@"[\w.:-]{1,100}")]
    public string Id { get; init; } = $"{Environment.MachineName}-{Environment.ProcessId}";

    /// <summary>
    /// Ids or folders of the models to preload. They are loaded before the worker accepts jobs and are never evicted for another model.
    /// Deployments are loaded on demand in addition. Default: none.
    /// </summary>
    public IReadOnlyList<string> Models { get; init; } = [];

    /// <summary>
    /// The device of the weights: "cpu", "cuda", "cuda:1"; "cuda:0,cuda:1" splits the layers of each model. Default "cpu".
    /// </summary>
    [Required]
    public string Device { get; init; } = "cpu";

    /// <summary>
    /// The element type of the weights: "float32", "bfloat16", "float16"; empty for the type of the checkpoint. Default empty.
    /// </summary>
    [RegularExpression(
        "float32|bfloat16|float16", ErrorMessage = "Dtype must be float32, bfloat16 or float16, or empty for the type of the checkpoint.")]
    public string Dtype { get; init; } = "";

    /// <summary>
    /// Quantizes the weights of linear layers to eight bits. This needs about a quarter of the memory of float32, and is slightly
    /// inexact. Default false.
    /// </summary>
    public bool EightBit { get; init; }

    /// <summary>
    /// The memory budget for model weights on the device, in bytes. Forward passes need memory in addition. Default (null): four fifths of
    /// the memory available to the process on the CPU; unlimited on other devices.
    /// </summary>
    [Range(1, long.MaxValue)]
    public long? Memory { get; init; }

    /// <summary>
    /// The host memory for models that were evicted from the device, in bytes. They are reloaded from it without reading the disk.
    /// Default 0: none. It is useless on the CPU, where host and device memory are the same.
    /// </summary>
    [Range(0, long.MaxValue)]
    public long WarmMemory { get; init; }

    /// <summary>
    /// The memory that the values of one job may use at a time, in bytes. A job that exceeds it fails as OUT_OF_MEMORY and does not affect
    /// other jobs or the process. Default (null): a quarter of the memory available to the process on the CPU, at least 4 GiB and
    /// at most half of it; unlimited on other devices, where an allocation fails without ending the process.
    /// </summary>
    [Range(1 << 20, long.MaxValue)]
    public long? JobMemory { get; init; }

    /// <summary>
    /// The memory that the values of all jobs of the worker may use together, in bytes. The jobs of one owner may hold three quarters of
    /// what those of others leave, and one of them two thirds of that, so that one alone has half of it, and something is always left. A
    /// job that only lacks memory because of others returns to the queue. Default (null): twice <see cref="JobMemory"/> on the CPU;
    /// unlimited on other devices.
    /// </summary>
    [Range(1 << 20, long.MaxValue)]
    public long? AllJobsMemory { get; init; }

    /// <summary>
    /// The memory that the keys and values of all generations of a model may use at a time, in bytes; those of one owner at most three
    /// quarters of it. A generation waits until its own fit, and one that could never fit fails as OUT_OF_MEMORY. Default (null): a quarter
    /// of the memory available to the process on the CPU; unlimited on other devices.
    /// </summary>
    [Range(1 << 20, long.MaxValue)]
    public long? CacheMemory { get; init; }

    /// <summary>
    /// The memory of each model in which the outputs, keys and values of layers are kept for later passes over prompts of the same owner
    /// that begin alike, in bytes. Where it is full, the owner that has the most loses its oldest ones. Default 256 MiB; 0 keeps nothing.
    /// </summary>
    [Range(0, long.MaxValue)]
    public long ReuseMemory { get; init; } = 256L << 20;

    /// <summary>
    /// The minimum time that a model stays on the device before it can be evicted for another. Five times its load time, if that is
    /// longer. Default 10 s.
    /// </summary>
    [Range(typeof(TimeSpan), "00:00:00", "1.00:00:00")]
    public TimeSpan MinResidence { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>The delay before a failed load is retried. It doubles with each failure, up to 10 min. Default 10 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00.010", "00:10:00")]
    public TimeSpan LoadRetryDelay { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>How long jobs may still run after the worker is stopped; then they return to the queue. Default 5 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00", "00:10:00")]
    public TimeSpan ShutdownGracePeriod { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>
    /// How long a native call may go on after all of its jobs were cancelled or are over their limit. Then the worker gives its other jobs
    /// back to the queue and ends, to be started again. At most 5 s count when the worker stops. Default 30 s.
    /// </summary>
    [Range(typeof(TimeSpan), "00:00:00.100", "1.00:00:00")]
    public TimeSpan UnresponsiveTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>
    /// The maximum number of jobs that run on a model at a time. While there are as many, owners that have fewer than a quarter of them get
    /// a quarter more places, so that an owner of long jobs keeps nobody waiting. Default 16.
    /// </summary>
    [Range(1, 1024)]
    public int MaxBatch { get; init; } = 16;

    /// <summary>
    /// The chunk size of the prefill in tokens. Prompts of a generation that are longer run in chunks, if no program hooks the model; this
    /// limits the memory of attention scores and logits. Default 0: no chunks.
    /// </summary>
    [Range(0, 1 << 20)]
    public int PrefillChunk { get; init; }

    /// <summary>The interval between lease renewals. Use a third of the lease duration of the queue. Default 10 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00.010", "01:00:00")]
    public TimeSpan LeaseRenewalInterval { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>The interval between heartbeats. Default 1 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00.010", "00:01:00")]
    public TimeSpan HeartbeatInterval { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>The idle time after which a model returns unused heap memory to the operating system. Default 1 s.</summary>
    [Range(typeof(TimeSpan), "00:00:00.010", "01:00:00")]
    public TimeSpan IdleTrimDelay { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>
    /// The maximum time that a job waits for the client's answer to a local call. Other jobs run meanwhile. Default 30 s.
    /// </summary>
    [Range(typeof(TimeSpan), "00:00:00.010", "1.00:00:00")]
    public TimeSpan LocalCallTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>
    /// The maximum run time of a job, whatever its submission asks for. Default: 7 days, so that the limits of the gateway apply.
    /// </summary>
    [Range(typeof(TimeSpan), "00:00:00.001", "7.00:00:00")]
    public TimeSpan WallTime { get; init; } = TimeSpan.FromDays(7);

    /// <summary>
    /// The maximum size of the events of a job together, in bytes: values that are not large tensors, texts, logs and tokens. An element
    /// of a list, or an entry of a map, counts 64 bytes more than it has. The queue keeps events in memory; large tensors go to the blob
    /// store and do not count. A job that exceeds it fails as LIMIT_EXCEEDED. Default 64 MiB.
    /// </summary>
    [Range(1 << 20, long.MaxValue)]
    public long EventBytes { get; init; } = 64L << 20;

    /// <summary>The number of events of a job that are buffered for publication; when it is full, the run waits. Default 256.</summary>
    [Range(1, 1 << 16)]
    public int EventBufferSize { get; init; } = 256;

    /// <summary>The effective value of <see cref="Memory"/>, in bytes.</summary>
    internal long WeightBudget => Memory
        ?? (Device == "cpu" ? GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / 5 * 4 : long.MaxValue);

    /// <summary>The effective value of <see cref="JobMemory"/>, in bytes.</summary>
    internal long JobMemoryBudget => JobMemory
        ?? (Device == "cpu" ? DefaultJobMemory(GC.GetGCMemoryInfo().TotalAvailableMemoryBytes) : long.MaxValue);

    /// <summary>The effective value of <see cref="AllJobsMemory"/>, in bytes.</summary>
    internal long AllJobsMemoryBudget =>
        AllJobsMemory ?? (JobMemoryBudget > long.MaxValue / 2 ? long.MaxValue : 2 * JobMemoryBudget);

    private static long DefaultJobMemory(long available) => Math.Min(Math.Max(4L << 30, available / 4), available / 2);

    /// <summary>The effective value of <see cref="CacheMemory"/>, in bytes.</summary>
    internal long CacheMemoryBudget => CacheMemory
        ?? (Device == "cpu" ? GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / 4 : long.MaxValue);

    /// <summary>The most that the generations of one owner may have of it, in bytes.</summary>
    internal long MostCacheMemoryOfOwner =>
        CacheMemoryBudget == long.MaxValue ? long.MaxValue : new OwnerMemory(CacheMemoryBudget).MostOfOwner;

    /// <param name="dtype">Null for <see cref="Dtype"/>.</param>
    internal LoadOptions ToLoadOptions(torch.ScalarType? dtype) => new()
    {
        DType = dtype ?? Ndif.Models.Files.SafetensorsDTypes.OfConfig(Dtype), EightBit = EightBit, DeviceMap = DeviceMap.Parse(Device),
    };

    /// <summary>Throws if an option is out of bounds.</summary>
    /// <exception cref="NdifException">BAD_ARGUMENT: one sentence for each option out of bounds.</exception>
    public void Validate() => OptionsValidator.Validate(this, "The worker cannot start");
}
