using System.Globalization;
using Ndif.Protocol;

namespace Ndif.Server.Scaling;

/// <summary>What a ScaledObject asks for: the `metadata` of its trigger.</summary>
/// <param name="Models">The models whose jobs count: "id", with all its revisions, or "id@revision". Empty: all models.</param>
/// <param name="JobsPerWorker">The number of jobs that one worker is started for.</param>
internal sealed record ScalerTarget(IReadOnlySet<string> Models, int JobsPerWorker)
{
    /// <summary>Names of models, separated by commas. Missing or empty: all models.</summary>
    public const string ModelKey = "model";

    /// <summary>A whole number. Missing: <see cref="DefaultJobsPerWorker"/>.</summary>
    public const string JobsPerWorkerKey = "jobsPerWorker";

    /// <summary>The default of `ndif worker --max-batch`: as many jobs as a worker runs on a model at a time.</summary>
    public const int DefaultJobsPerWorker = 16;

    /// <summary>The keys that KEDA itself reads from the same map.</summary>
    private static readonly string[] _kedaKeys =
        ["scalerAddress", "caCert", "tlsCertFile", "tlsClientCert", "tlsClientKey", "enableTLS", "unsafeSsl", "metricType"];

    /// <exception cref="NdifException">BAD_ARGUMENT: a key is not known, or the number of jobs is not a positive whole number.</exception>
    public static ScalerTarget Parse(ScaledObjectRef? scaledObject)
    {
        IReadOnlyDictionary<string, string> metadata = scaledObject is null
            ? new Dictionary<string, string>() : scaledObject.ScalerMetadata.AsReadOnly();
        if (metadata.Keys.FirstOrDefault(key => key is not (ModelKey or JobsPerWorkerKey) && !_kedaKeys.Contains(key)) is { } unknown)
            throw ServerErrors.UnknownScalerMetadata(unknown, [ModelKey, JobsPerWorkerKey]);
        string models = metadata.GetValueOrDefault(ModelKey, ""), jobs = metadata.GetValueOrDefault(JobsPerWorkerKey, "");
        int jobsPerWorker = DefaultJobsPerWorker;
        if (jobs.Length > 0
            && (!int.TryParse(jobs, NumberStyles.None, CultureInfo.InvariantCulture, out jobsPerWorker) || jobsPerWorker < 1))
            throw ServerErrors.BadJobsPerWorker(JobsPerWorkerKey, jobs);
        return new ScalerTarget(
            models.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries).ToHashSet(StringComparer.Ordinal),
            jobsPerWorker);
    }

    /// <param name="name">"id" or "id@revision", as in the queue and in <see cref="ModelNames.GetName(Deployment)"/>.</param>
    public bool Includes(string name) => Models.Count == 0 || Models.Contains(name) || Models.Contains(ModelNames.Parse(name).Id);
}
