using Microsoft.CodeAnalysis;

namespace Ndif.Client.Analyzers;

/// <summary>The types of the client that the rules look for.</summary>
internal sealed class NdifTypes
{
    private readonly INamedTypeSymbol _value, _saved, _trace, _session, _envoy, _operation, _iteration, _tensor;

    private NdifTypes(INamedTypeSymbol value, Compilation compilation)
    {
        INamedTypeSymbol Find(string name) => compilation.GetTypeByMetadataName(name) ?? value;
        (_value, _saved, _trace, _session) = (value, Find("Ndif.Saved"), Find("Ndif.Trace"), Find("Ndif.Session"));
        (_envoy, _operation, _iteration) = (Find("Ndif.Envoy"), Find("Ndif.Operation"), Find("Ndif.Iteration"));
        _tensor = Find("Ndif.TensorData");
    }

    /// <summary>Null for a compilation that does not reference the client.</summary>
    public static NdifTypes? Find(Compilation compilation) =>
        compilation.GetTypeByMetadataName("Ndif.Value") is { } value ? new NdifTypes(value, compilation) : null;

    public bool IsValue(ITypeSymbol? type) => DerivesFrom(type, _value);

    public bool IsSaved(ITypeSymbol? type) => Is(type, _saved);

    public bool IsTensorData(ITypeSymbol? type) => Is(type, _tensor);

    public bool IsTrace(ITypeSymbol? type) => Is(type, _trace);

    public bool IsSession(ITypeSymbol? type) => Is(type, _session);

    public bool IsIteration(ITypeSymbol? type) => Is(type, _iteration);

    /// <summary>A type whose properties are sites of the model.</summary>
    public bool HasSites(ITypeSymbol? type) => DerivesFrom(type, _envoy) || Is(type, _operation);

    /// <summary>A list or map that the program fills while it runs.</summary>
    public bool IsContainer(ITypeSymbol? type) => IsValue(type) && type is { Name: "ValueList" or "ValueMap" };

    /// <summary>Whether a method is part of NDIF.</summary>
    public static bool IsOfNdif(IMethodSymbol method) =>
        method.ContainingType is { ContainingNamespace: { Name: "Ndif", ContainingNamespace.IsGlobalNamespace: true } };

    private static bool Is(ITypeSymbol? type, INamedTypeSymbol expected) => SymbolEqualityComparer.Default.Equals(type, expected);

    private static bool DerivesFrom(ITypeSymbol? type, INamedTypeSymbol expected)
    {
        for (; type is not null; type = type.BaseType)
            if (Is(type, expected)) return true;
        return false;
    }
}
