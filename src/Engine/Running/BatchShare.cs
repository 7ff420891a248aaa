namespace Ndif.Engine.Running;

/// <summary>The value of a batch at a hook point, of which a job has a slice.</summary>
/// <param name="Value">Borrowed.</param>
/// <param name="Share">The part of the batch's rows that are those of the job.</param>
internal readonly record struct BatchShare(object? Value, double Share);
