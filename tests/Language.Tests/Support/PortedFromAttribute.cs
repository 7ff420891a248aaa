namespace Ndif.Language.Tests.Support;

/// <summary>
/// Cases of nnsight's own tests that a test carries over: "test_lm/TestSkip.test_basic_skip"; of its graph era "v0.4/test_tiny/test_tiny".
/// docs/nnsight-tests.md is the same table the other way round.
/// </summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class PortedFromAttribute(params string[] cases) : Attribute
{
    public IReadOnlyList<string> Cases { get; } = cases;
}
