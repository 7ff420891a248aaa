using System;
using System.Collections.Generic;
using System.Linq;
using System.Text;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp;
using Microsoft.CodeAnalysis.CSharp.Syntax;

namespace Ndif.Models.Generator;

/// <summary>
/// Copies the body of one function with every operation on tensors replaced by a call of <c>on.Call</c>. Operations are numbered in the
/// order in which they are evaluated. Lambdas, local functions and calls with ref arguments are copied unchanged.
/// </summary>
internal sealed class FunctionRewriter : CSharpSyntaxRewriter
{
    private static readonly SymbolDisplayFormat _fullyQualified = SymbolDisplayFormat.FullyQualifiedFormat
        .AddMiscellaneousOptions(SymbolDisplayMiscellaneousOptions.IncludeNullableReferenceTypeModifier);

    /// <summary>Lifetime and debugging calls, which are not operations of the model.</summary>
    private static readonly HashSet<string> _ignoredMethods = ["MoveToOuterDisposeScope", "DetachFromDisposeScope", "alias", "cpu", "data"];

    private readonly ModelSources _sources;
    private readonly SemanticModel _model;
    private readonly IMethodSymbol _method;
    private readonly BaseMethodDeclarationSyntax _syntax;
    private readonly Dictionary<string, int> _nameCounts = [];
    private readonly Dictionary<string, SymbolicShape?> _localShapes = [];
    private readonly Dictionary<SyntaxNode, SymbolicShape?> _shapes = [];
    private readonly Dictionary<SyntaxNode, SymbolicShape> _declaredShapes = [];
    private readonly List<OperationEntry> _operations = [];
    private readonly List<int> _activeConditions = [];

    public FunctionRewriter(ModelSources sources, SemanticModel model, IMethodSymbol method, BaseMethodDeclarationSyntax syntax)
    {
        (_sources, _model, _method, _syntax) = (sources, model, method, syntax);
        if (method.Name == "Forward" && InstanceConditions.AppliesTo(method.ContainingType))
            Conditions = new InstanceConditions(model, method.ContainingType);
        foreach (IParameterSymbol parameter in method.Parameters)
            _localShapes[parameter.Name] = ShapeDocumentation.Parameter(syntax, parameter.Name);
    }

    public IReadOnlyList<OperationEntry> Operations => _operations;

    /// <summary>
    /// The conditions on fields under which parts of the function run; null for a function that is the same for every instance.
    /// </summary>
    public InstanceConditions? Conditions { get; }

    public SyntaxNode Rewrite()
    {
        if (_syntax.ExpressionBody is not { } expression) return Visit(_syntax.Body!);
        if (ShapeDocumentation.Returns(_syntax) is { } form) Declare(expression.Expression, form);
        return Visit(expression);
    }

    public override SyntaxNode? VisitSimpleLambdaExpression(SimpleLambdaExpressionSyntax node) => node;

    public override SyntaxNode? VisitParenthesizedLambdaExpression(ParenthesizedLambdaExpressionSyntax node) => node;

    public override SyntaxNode? VisitLocalFunctionStatement(LocalFunctionStatementSyntax node) => node;

    /// <summary>Omits a fast path. Under a condition on the instance, operations are recorded with the condition.</summary>
    public override SyntaxNode? VisitIfStatement(IfStatementSyntax node)
    {
        if (IsFastPath(node.Condition)) return SyntaxFactory.EmptyStatement().WithTriviaFrom(node);
        if (Conditions?.Find(node) is not { } condition) return base.VisitIfStatement(node);
        Dictionary<string, SymbolicShape?> before = new(_localShapes);
        StatementSyntax whenTrue = VisitUnder(condition, node.Statement);
        if (node.Else is not { } otherwise) return node.WithStatement(whenTrue);
        Dictionary<string, SymbolicShape?> after = new(_localShapes);
        SetLocalShapes(before);
        StatementSyntax whenFalse = VisitUnder(~condition, otherwise.Statement);
        SetLocalShapes(after);
        return node.WithStatement(whenTrue).WithElse(otherwise.WithStatement(whenFalse));
    }

    /// <summary>The statements after an <c>if (...) return</c> run only if the condition is false.</summary>
    public override SyntaxNode? VisitBlock(BlockSyntax node)
    {
        int outer = _activeConditions.Count;
        List<StatementSyntax> statements = [];
        foreach (StatementSyntax statement in node.Statements)
        {
            statements.Add((StatementSyntax)Visit(statement)!);
            if (Conditions?.FindExit(statement) is { } condition) _activeConditions.Add(~condition);
        }
        _activeConditions.RemoveRange(outer, _activeConditions.Count - outer);
        return node.WithStatements(SyntaxFactory.List(statements));
    }

    private StatementSyntax VisitUnder(int condition, StatementSyntax statement)
    {
        _activeConditions.Add(condition);
        var visited = (StatementSyntax)Visit(statement)!;
        _activeConditions.RemoveAt(_activeConditions.Count - 1);
        return visited;
    }

    private void SetLocalShapes(Dictionary<string, SymbolicShape?> shapes)
    {
        foreach (var shape in shapes) _localShapes[shape.Key] = shape.Value;
    }

    private bool IsFastPath(ExpressionSyntax condition) => condition.DescendantNodes().OfType<InvocationExpressionSyntax>().Any(call =>
        _model.GetSymbolInfo(call).Symbol is IMethodSymbol called
        && called.GetAttributes().Any(a => a.AttributeClass?.Name == "FastPathAttribute"));

    public override SyntaxNode? VisitLocalDeclarationStatement(LocalDeclarationStatementSyntax node)
    {
        SymbolicShape? comment = ShapeDocumentation.Comment(node);
        foreach (VariableDeclaratorSyntax variable in node.Declaration.Variables)
            if (comment is not null && variable.Initializer is { } value) Declare(value.Value, comment);
        SyntaxNode? visited = base.VisitLocalDeclarationStatement(node);
        foreach (VariableDeclaratorSyntax variable in node.Declaration.Variables)
            _localShapes[variable.Identifier.Text] = comment ?? ShapeOf(variable.Initializer?.Value);
        return visited;
    }

    public override SyntaxNode? VisitExpressionStatement(ExpressionStatementSyntax node)
    {
        if (node.Expression is not AssignmentExpressionSyntax assignment) return base.VisitExpressionStatement(node);
        SymbolicShape? comment = ShapeDocumentation.Comment(node);
        if (comment is not null) Declare(assignment.Right, comment);
        SyntaxNode? visited = base.VisitExpressionStatement(node);
        SymbolicShape? form = comment ?? ShapeOf(assignment.Right);
        switch (assignment.Left)
        {
            case IdentifierNameSyntax local:
                _localShapes[local.Identifier.Text] = form;
                break;
            case TupleExpressionSyntax tuple:
                for (int i = 0; i < tuple.Arguments.Count; i++) _localShapes[Name(tuple.Arguments[i].Expression)] = Element(form, i);
                break;
            case DeclarationExpressionSyntax { Designation: ParenthesizedVariableDesignationSyntax parts }:
                for (int i = 0; i < parts.Variables.Count; i++) _localShapes[parts.Variables[i].ToString()] = Element(form, i);
                break;
        }
        return visited;

        static string Name(ExpressionSyntax part) => part is DeclarationExpressionSyntax declaration ? declaration.Designation.ToString()
            : part.ToString();
    }

    public override SyntaxNode? VisitReturnStatement(ReturnStatementSyntax node)
    {
        if (node.Expression is { } value && (ShapeDocumentation.Comment(node) ?? ShapeDocumentation.Returns(_syntax)) is { } form)
            Declare(value, form);
        return base.VisitReturnStatement(node);
    }

    public override SyntaxNode? VisitInvocationExpression(InvocationExpressionSyntax node)
    {
        if (_model.GetSymbolInfo(node).Symbol is not IMethodSymbol called || !IsOperation(node, called))
            return base.VisitInvocationExpression(node);
        ExpressionSyntax? receiver = called.IsStatic && called.MethodKind is not MethodKind.ReducedExtension
            || node.Expression is not MemberAccessExpressionSyntax member ? null : member.Expression;
        return Parse(Call(node, node, receiver, called), node);
    }

    /// <summary><c>norm?.Call(x)</c> is an operation if the norm is not null.</summary>
    public override SyntaxNode? VisitConditionalAccessExpression(ConditionalAccessExpressionSyntax node)
    {
        if (node is not { Expression: IdentifierNameSyntax receiver,
            WhenNotNull: InvocationExpressionSyntax { Expression: MemberBindingExpressionSyntax } call }
            || _model.GetSymbolInfo(call).Symbol is not IMethodSymbol called || !IsOperation(call, called)) return node;
        string type = called.ReturnType.ToDisplayString(_fullyQualified);
        string operation = Call(node, call, receiver, called);
        return Parse($"({receiver} is null ? ({type.TrimEnd('?')}?)null : {operation})", node);
    }

    public override SyntaxNode? VisitBinaryExpression(BinaryExpressionSyntax node)
    {
        if (Operator(node) is not { } name) return base.VisitBinaryExpression(node);
        var arguments = new ArgumentList(this);
        string left = arguments.Add(node.Left, null), right = arguments.Add(node.Right, null);
        return Parse(
            Operation(node, name, node.OperatorToken, TensorName(node), arguments, $"{left} {node.OperatorToken.Text} {right}", null, null),
            node);
    }

    public override SyntaxNode? VisitPrefixUnaryExpression(PrefixUnaryExpressionSyntax node)
    {
        if (Operator(node) is not { } name) return base.VisitPrefixUnaryExpression(node);
        var arguments = new ArgumentList(this);
        string operand = arguments.Add(node.Operand, null);
        return Parse(
            Operation(node, name, node.OperatorToken, TensorName(node), arguments, $"{node.OperatorToken.Text}{operand}", null, null),
            node);
    }

    private string? Operator(ExpressionSyntax node) =>
        _model.GetSymbolInfo(node).Symbol is IMethodSymbol { MethodKind: MethodKind.UserDefinedOperator } symbol
        && IsTensor(symbol.ReturnType)
            ? OperationNames.OfOperator(symbol) : null;

    private string TensorName(ExpressionSyntax node) => _model.GetTypeInfo(node).Type!.ToDisplayString(_fullyQualified);

    private bool IsOperation(InvocationExpressionSyntax node, IMethodSymbol called) =>
        called.MethodKind is MethodKind.Ordinary or MethodKind.DelegateInvoke or MethodKind.ReducedExtension
        && IsValue(called.ReturnType) && !_ignoredMethods.Contains(called.Name) && called.Parameters.All(p => p.RefKind is RefKind.None)
        && !(_sources.IsModule(called.ContainingType) && called.Name == "Run");

    private static bool IsTensor(ITypeSymbol type) => type.Name == "Tensor" && type.ContainingType?.Name == "torch";

    /// <summary>Whether a type is or contains tensors: an array or tuple of them, the tuple of a module, the output of a model.</summary>
    private static bool IsValue(ITypeSymbol type) => type switch
    {
        IArrayTypeSymbol array => IsTensor(array.ElementType) || array.ElementType.SpecialType is SpecialType.System_Object,
        INamedTypeSymbol { IsTupleType: true } tuple => tuple.TupleElements.Any(e => IsTensor(e.Type)),
        _ => IsTensor(type) || type.Name == "ModelOutput",
    };

    private string Call(SyntaxNode whole, InvocationExpressionSyntax node, ExpressionSyntax? receiver, IMethodSymbol called)
    {
        var arguments = new ArgumentList(this) { Receiver = receiver is null ? null : _model.GetTypeInfo(receiver).Type?.Name };
        bool submodule = receiver is not null && _sources.IsModule(called.ContainingType)
            && called.Name.StartsWith("Call", StringComparison.Ordinal);
        bool label = called.ContainingType.Name == "SourceLabel";
        string callee = receiver is null ? node.Expression.ToString()
            : IsTensor(_model.GetTypeInfo(receiver).Type!) ? $"{arguments.Add(receiver, null)}.{called.Name}"
            : $"{Visit(receiver)}.{called.Name}";
        List<string> given = [];
        foreach (ArgumentSyntax argument in node.ArgumentList.Arguments)
            given.Add(label && given.Count == 0 ? argument.ToString()
                : $"{argument.NameColon}{arguments.Add(argument.Expression, argument.NameColon?.Name.Identifier.Text)}");
        // the operations inside a method of another module have submodules of that module
        bool ofAnotherModule = receiver is not null && !called.IsStatic && _sources.IsModule(called.ContainingType);
        InstrumentedFunction? inside = submodule || label || ofAnotherModule ? null : _sources.InstrumentedCopyOf(called);
        string name = submodule ? OperationNames.OfSubmodule(receiver!, _syntax.Parent!)
            : label ? ((LiteralExpressionSyntax)node.ArgumentList.Arguments[0].Expression).Token.ValueText
            : OperationNames.OfFunction(called, node.Expression);
        SyntaxToken place = node.Expression.GetLastToken();
        string list = string.Join(", ", given);
        return Operation(whole, name, place, called.ReturnType.ToDisplayString(_fullyQualified), arguments,
            $"{callee}({list})", inside is null ? null : $"{callee}WithHooks(INSIDE{(given.Count > 0 ? ", " : "")}{list})", inside,
            submodule ? SubmoduleOf(receiver!) : null, label, ReturnShapeOf(called, name, arguments, submodule, label));
    }

    /// <param name="plain">The call of the operation. GIVEN is the argument array in the generated code.</param>
    /// <param name="hooked">The call of the callee's instrumented copy.</param>
    private string Operation(SyntaxNode whole, string name, SyntaxToken place, string type, ArgumentList arguments, string plain,
        string? hooked,
        InstrumentedFunction? inside, string? submodule = null, bool label = false, SymbolicShape? inferred = null)
    {
        inferred ??= ShapeRules.Of(name, arguments.Shapes, arguments.AreTensors, arguments.Constants);
        SymbolicShape? form = inferred;
        if (_declaredShapes.TryGetValue(whole, out SymbolicShape declared))
        {
            Check(whole, name, declared, inferred);
            form = declared;
        }
        _shapes[whole] = form;
        string baseName = label ? "" : name;
        if (label)
        {
            if (_operations.Any(r => r.Name == name)) _sources.Report(Diagnostics.SameLabel, whole, name);
        }
        else
        {
            _nameCounts.TryGetValue(name, out int count);
            _nameCounts[name] = count + 1;
            name = $"{name}_{count}";
        }
        int id = _operations.Count;
        _operations.Add(
            new OperationEntry(name, place.GetLocation().GetLineSpan().StartLinePosition.Line + 1, Text(form), arguments.Described)
        {
            Inside = inside, Submodule = submodule, BaseName = baseName, IsNamedByChild = Conditions is not null && submodule is not null,
            Conditions = [.. _activeConditions],
        });
        string run = hooked is null ? plain : $"__inner{id} is null ? {plain} : {hooked.Replace("INSIDE", $"__inner{id}")}";
        return $"__hooks.Call<{type}>({id}, new object?[] {{ {string.Join(", ", arguments.Values)} }}, (__a{id}, __inner{id}) => "
            + $"{run.Replace("GIVEN", $"__a{id}")})";
    }

    private static string Text(SymbolicShape? shape) => shape is null ? "?" : shape.ToString();

    private void Check(SyntaxNode node, string name, SymbolicShape declared, SymbolicShape? inferred)
    {
        if (SymbolicShape.Axes(declared.Dimensions) is { } said && SymbolicShape.Axes(inferred?.Dimensions) is { } found && said != found)
            _sources.Report(Diagnostics.WrongShape, node, declared.ToString(), name, inferred!.ToString());
    }

    private SymbolicShape? ReturnShapeOf(IMethodSymbol called, string name, ArgumentList arguments, bool submodule, bool label)
    {
        if (label) return arguments.Shapes.FirstOrDefault();
        if (submodule)
        {
            if (arguments.Receiver is "Dropout" or "Activation") return arguments.Shapes.FirstOrDefault();
            // a linear layer or a norm may change the last dimension; an embedding adds one, which a comment declares
            return arguments.Shapes.FirstOrDefault()?.Dimensions is { Length: > 1 } input && IsTensor(called.ReturnType)
                && !SymbolicShape.ContainsAxis(input[input.Length - 1])
                ? new SymbolicShape([.. input.Take(input.Length - 1), "features"]) : null;
        }
        if (_sources.SyntaxOf(called) is not { } syntax) return null;
        return ShapeDocumentation.Returns(syntax);
    }

    private string? SubmoduleOf(ExpressionSyntax receiver)
    {
        if (_method.IsStatic) return null;
        ExpressionSyntax root = receiver;
        while (root is MemberAccessExpressionSyntax or ElementAccessExpressionSyntax or PostfixUnaryExpressionSyntax)
            root = root switch { MemberAccessExpressionSyntax m => m.Expression, ElementAccessExpressionSyntax e => e.Expression,
                _ => ((PostfixUnaryExpressionSyntax)root).Operand };
        if (_model.GetSymbolInfo(root).Symbol is not (IFieldSymbol or IPropertySymbol)) return null;
        string text = receiver.ToString();
        if (receiver is ElementAccessExpressionSyntax element) text = $"{element.Expression}[0]";
        return $"(({_method.ContainingType.ToDisplayString(_fullyQualified)})m).{text}";
    }

    /// <summary>Returns the operations whose result is the value of the expression.</summary>
    private void Declare(ExpressionSyntax expression, SymbolicShape shape)
    {
        switch (expression)
        {
            case ParenthesizedExpressionSyntax inner: Declare(inner.Expression, shape); break;
            case CastExpressionSyntax cast: Declare(cast.Expression, shape); break;
            case PostfixUnaryExpressionSyntax suppressed: Declare(suppressed.Operand, shape); break;
            case ElementAccessExpressionSyntax: break;
            case ConditionalExpressionSyntax choice: Declare(choice.WhenTrue, shape); Declare(choice.WhenFalse, shape); break;
            case BinaryExpressionSyntax { RawKind: (int)SyntaxKind.CoalesceExpression } either: Declare(either.Left, shape);
            Declare(either.Right, shape); break;
            case InvocationExpressionSyntax {
                Expression: MemberAccessExpressionSyntax { Name.Identifier.Text: "MoveToOuterDisposeScope" } moved }: Declare(
                moved.Expression, shape); break;
            default: _declaredShapes[expression] = shape; break;
        }
    }

    /// <summary>Returns the shape of a visited expression; null if it is unknown.</summary>
    private SymbolicShape? ShapeOf(ExpressionSyntax? expression)
    {
        switch (expression)
        {
            case null: return null;
            case ParenthesizedExpressionSyntax inner: return ShapeOf(inner.Expression);
            case CastExpressionSyntax cast: return ShapeOf(cast.Expression);
            case PostfixUnaryExpressionSyntax suppressed: return ShapeOf(suppressed.Operand);
            case IdentifierNameSyntax local: return _localShapes.TryGetValue(local.Identifier.Text, out SymbolicShape? known) ? known
                : null;
            case ElementAccessExpressionSyntax { ArgumentList.Arguments.Count: 1 } element when _model.GetTypeInfo(element.Expression)
                .Type is IArrayTypeSymbol:
                return Element(ShapeOf(element.Expression),
                    _model.GetConstantValue(element.ArgumentList.Arguments[0].Expression).Value is int i ? i : 0);
            case ConditionalExpressionSyntax choice: return ShapeOf(choice.WhenTrue);
            case BinaryExpressionSyntax { RawKind: (int)SyntaxKind.CoalesceExpression } either: return ShapeOf(either.Left)
                ?? ShapeOf(either.Right);
            case TupleExpressionSyntax tuple: return new SymbolicShape([.. tuple.Arguments.Select(a => ShapeOf(a.Expression)?.Dimensions)]);
            case CollectionExpressionSyntax {
                Elements.Count: > 0 } items when items.Elements[0] is ExpressionElementSyntax first: return ShapeOf(first.Expression);
            case InvocationExpressionSyntax {
                Expression: MemberAccessExpressionSyntax { Name.Identifier.Text: "MoveToOuterDisposeScope" } moved }: return ShapeOf(
                moved.Expression);
            default: return _shapes.TryGetValue(expression, out SymbolicShape? form) ? form : null;
        }
    }

    private static SymbolicShape? Element(SymbolicShape? shape, int index) => shape is null ? null : new SymbolicShape(shape[index]);

    private static ExpressionSyntax Parse(string text, SyntaxNode node) => SyntaxFactory.ParseExpression(text).WithTriviaFrom(node);

    /// <summary>The arguments of an operation. Each is evaluated into GIVEN, the argument array in the generated code.</summary>
    private sealed class ArgumentList(FunctionRewriter rewriter)
    {
        /// <summary>The type of the receiver of the call.</summary>
        public string? Receiver { get; set; }

        public List<string> Values { get; } = [];

        public List<SymbolicShape?> Shapes { get; } = [];

        public List<bool> AreTensors { get; } = [];

        public List<long?> Constants { get; } = [];

        public List<(string? Keyword, string Shape)> Described { get; } = [];

        /// <returns>How the operation reads the argument.</returns>
        public string Add(ExpressionSyntax expression, string? keyword)
        {
            TypeInfo info = rewriter._model.GetTypeInfo(expression);
            ITypeSymbol? type = info.Type ?? info.ConvertedType;
            string text = rewriter.Visit(expression)!.ToString();
            // a span cannot be an element of an array, so its collection or array is stored instead
            if (expression is CollectionExpressionSyntax
                && info.ConvertedType is INamedTypeSymbol { IsRefLikeType: true, TypeArguments: { Length: 1 } of })
                type = rewriter._model.Compilation.CreateArrayTypeSymbol(of[0]);
            else if (info.ConvertedType is null || (info.ConvertedType.IsRefLikeType && type is not IArrayTypeSymbol)) return text;
            if (type is null or { IsRefLikeType: true } or { TypeKind: TypeKind.Error or TypeKind.Delegate }) return text;
            Optional<object?> constant = rewriter._model.GetConstantValue(expression);
            SymbolicShape? form = expression is MemberAccessExpressionSyntax { Name.Identifier.Text: "shape" } shape
                ? rewriter.ShapeOf(shape.Expression) : rewriter.ShapeOf(expression);
            string name = (type is { IsReferenceType: true } && info.Nullability.FlowState is NullableFlowState.MaybeNull
                ? type.WithNullableAnnotation(NullableAnnotation.Annotated) : type).ToDisplayString(_fullyQualified);
            Values.Add(info.Type is null && !constant.HasValue ? $"({name})({text})" : text);
            Shapes.Add(form);
            AreTensors.Add(IsTensor(type));
            Constants.Add(constant.HasValue ? constant.Value switch { int i => i, long l => l, _ => null } : null);
            Described.Add((keyword, IsValue(type) || type is INamedTypeSymbol { TypeArguments: { Length: 1 } item } && IsTensor(item[0])
                ? Text(form) : ""));
            return constant.HasValue ? text : $"(({name})GIVEN[{Values.Count - 1}]!)";
        }
    }
}
