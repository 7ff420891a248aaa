using Ndif.Protocol;

namespace Ndif.Server.Admission;

/// <summary>What this service can run, as far as the gateway must know it.</summary>
/// <param name="Validate">
/// Checks a program against a model and limits, before anything is queued; null means it may run. The model is null when no worker
/// has described it yet. (<c>ProgramValidator.Validate</c>)
/// </param>
/// <param name="Ops">The names of the op table, as GetCapabilities tells them.</param>
/// <param name="Version">The newest program format that is understood.</param>
/// <param name="Features">What a program may require by name.</param>
public sealed record ProgramRules(
    Func<Program, ModelDescription?, ProgramLimits, Error?> Validate, IReadOnlyList<string> Ops, uint Version,
    IReadOnlyList<string> Features);
