using Microsoft.CodeAnalysis;

namespace Ndif.Models.Generator;

/// <summary>The compiler errors of the generator.</summary>
internal static class Diagnostics
{
#pragma warning disable RS2008 // these rules are this repository's own; there is no release to track
    public static readonly DiagnosticDescriptor NotPartial = new("NDIF001", "A module is partial",
        "{0} must be partial, so that the operations inside its forward can be seen", "Models", DiagnosticSeverity.Error, true);

    public static readonly DiagnosticDescriptor WrongShape = new("NDIF002", "A shape comment says what the code does",
        "the comment says {0}, but {1} gives {2}", "Models", DiagnosticSeverity.Error, true);

    public static readonly DiagnosticDescriptor SameLabel = new("NDIF003", "A label names one value",
        "the label {0} is given twice in this function", "Models", DiagnosticSeverity.Error, true);
#pragma warning restore RS2008
}
