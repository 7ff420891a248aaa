using System.Collections.Generic;

namespace Ndif.Models.Generator;

/// <summary>One operation of a function, as an entry of the generated table.</summary>
internal sealed class OperationEntry(string name, int line, string output, IReadOnlyList<(string? Keyword, string Shape)> inputs)
{
    public string Name { get; } = name;

    /// <summary>The line number in its file, from 1.</summary>
    public int Line { get; } = line;

    /// <summary>The symbolic shapes of the result.</summary>
    public string Output { get; } = output;

    public IReadOnlyList<(string? Keyword, string Shape)> Inputs { get; } = inputs;

    /// <summary>The function of this compilation that it calls.</summary>
    public InstrumentedFunction? Inside { get; set; }

    /// <summary>An expression for the submodule of a module m that it calls.</summary>
    public string? Submodule { get; set; }

    /// <summary>The name without its number; empty for a label.</summary>
    public string BaseName { get; set; } = "";

    /// <summary>True if the name is that of the submodule, which depends on the description of a shared layer.</summary>
    public bool IsNamedByChild { get; set; }

    /// <summary>The conditions under which it runs, by index; the complement of an index for a condition that must not hold.</summary>
    public IReadOnlyList<int> Conditions { get; set; } = [];
}

/// <summary>A function's instrumented copy.</summary>
internal sealed class InstrumentedFunction(string table, string code, IReadOnlyList<OperationEntry> rows)
{
    /// <summary>The static field that holds its table, with its class.</summary>
    public string Table { get; } = table;

    /// <summary>The method and its table.</summary>
    public string Code { get; } = code;

    public IReadOnlyList<OperationEntry> Operations { get; } = rows;

    /// <summary>True if the table is a template from which the table of each module is made.</summary>
    public bool IsTemplate { get; set; }
}
