using Google.Protobuf.WellKnownTypes;
using Ndif.Protocol;

namespace Ndif.Queue.Rules;

/// <summary>The validation of deployments, shared by all implementations.</summary>
public static class DeploymentRules
{
    private const int MaxNameLength = 256, MaxReplicas = 1000;

    /// <summary>The last use that a worker reports for a preloaded model, so that it never loses its claim to another worker.</summary>
    public static DateTimeOffset AlwaysInUse { get; } = new(9999, 1, 1, 0, 0, 0, TimeSpan.Zero);

    /// <summary>Validates a deployment and returns a copy with the time of the change.</summary>
    /// <exception cref="NdifException">BAD_ARGUMENT: the name or the number of replicas is not valid.</exception>
    internal static Deployment ValidateAndCopy(Deployment deployment, DateTimeOffset now)
    {
        if (deployment.Model is not { Length: > 0 } || deployment.GetName() is not { Length: <= MaxNameLength } name
            || name.Any(c => char.IsWhiteSpace(c) || char.IsControl(c)))
            throw QueueErrors.BadDeployment(
                $"`{deployment.Model}` cannot be deployed.",
                "Give the id or folder of a model, without whitespace, in up to 256 characters.");
        if (deployment.Replicas is 0 or > MaxReplicas)
            throw QueueErrors.BadDeployment(
                $"{deployment.Replicas} replicas are not possible.", $"Use 1 to {MaxReplicas}; to have none, evict the model.");
        Deployment copy = deployment.Clone();
        copy.Changed = now.ToTimestamp();
        return copy;
    }
}
